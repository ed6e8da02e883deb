from __future__ import annotations

from pathlib import Path

import pytest

import agents
from agents.loop.prompts import load_prompt


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "prompts").mkdir()
    (tmp_path / "prompts" / "ask.md").write_text("Do $what for $$5.")
    (tmp_path / "prompts" / "wrong.md").write_text("costs 5$")
    return tmp_path


def test_variables_are_replaced_and_what_they_hold_is_not_read_again(folder: Path) -> None:
    assert load_prompt(folder, "ask", what="it with $HOME") == "Do it with $HOME for $5."


@pytest.mark.parametrize("values", [{}, {"what": "a", "more": "b"}, {"waht": "a"}], ids=["missing", "in vain", "misspelt"])
def test_undefined_and_unused_variables_are_errors(folder: Path, values: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"ask\.md"):
        load_prompt(folder, "ask", **values)


def test_a_dollar_that_names_nothing_is_an_error(folder: Path) -> None:
    with pytest.raises(ValueError, match="names nothing"):
        load_prompt(folder, "wrong")


def test_every_prompt_is_a_file_that_can_be_read() -> None:
    from string import Template

    found = list(Path(agents.__path__[0]).glob("*/prompts/*.md"))
    assert len(found) >= 7
    assert all(Template(path.read_text()).is_valid() for path in found)
