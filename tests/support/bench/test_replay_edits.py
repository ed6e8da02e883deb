from __future__ import annotations

from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st
from replay_commits import Change, RealCommit
from replay_edits import exact_edits, write_script

TEXTS = st.lists(st.sampled_from(["a", "b", "ab", "", "  a", "\x0c", "ü"]), max_size=12).map("\n".join)


def made(text: str, path: str, wanted: str) -> str | None:
    calls = exact_edits(path, text, wanted)
    for call in calls or []:
        old, new = call.arguments["old"], call.arguments["new"]
        assert text.find(old) == text.rfind(old) >= 0 or call.arguments.get("every")
        text = text.replace(old, new)
    return None if calls is None else text


@settings(max_examples=400)
@given(TEXTS, TEXTS)
def test_the_edits_make_the_wanted_text(text: str, wanted: str) -> None:
    assert made(text, "f", wanted) in (wanted, None)
    assert made(text, "f", wanted) == wanted or not text.strip() or text == wanted


def test_a_new_dependency_is_named_in_the_plan() -> None:
    change = Change("requirements.txt", "100644", "100644", b"one\n", b"one\ntwo\n")
    script = write_script(RealCommit("p", "1", "0", "Use two", (change,)), Path("/"), "edits")
    assert script.plan["steps"] == [{"title": "Use two", "files": ["requirements.txt"], "detail": "New dependencies: two"}]
    assert [[call.name for call in calls] for calls in script.rounds] == [["read_file"], ["edit_file"]]
