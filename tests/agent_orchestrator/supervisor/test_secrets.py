"""A change with what looks like a secret is stopped before the push, whoever made it; a person is told where, never what."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest
from langchain_core.messages import AIMessage

from agent_orchestrator.resources import Resources
from agents.loop.secrets import NEXT_STEP
from shared.errors import InvalidRequestError
from shared.events import store as events_store
from shared.secrets import scan
from shared.types import RiskLevel, TaskStatus, canonical_json
from tests.agent_orchestrator.conftest import SOURCE, git
from tests.agent_orchestrator.runtime.driving import approve_all, decide, submit, waiting
from tests.agents.scripted_model import call, plan, say, script
from tests.shared.secrets.seeds import aws_key

LINE = 1 + SOURCE[: SOURCE.index("path.upper()")].count("\n")
PROMPT = "Make load_conf strip white space"
PLAN = plan("Strip white space in load_conf", "app.py")
KEY = aws_key()
GOOD = "path.strip().upper()"
BAD = f'{GOOD} or "{KEY}"'
MARK = "  # pragma: allowlist secret"


def edit(new: str, old: str = "path.upper()") -> AIMessage:
    return call("edit_file", path="app.py", old=old, new=new)


def branches(repository: Path) -> list[str]:
    return git(repository, "branch", "--list", "persevere/*", "--format=%(refname:short)").split()


async def told(resources: Resources, task_id: str) -> str:
    async with resources.database.connection() as connection:
        return canonical_json([event.data for event in await events_store.read(connection, task_id)]).decode()


async def test_it_goes_back_to_the_model_once_with_the_place(working: Resources, repository: Path) -> None:
    working.models = model = script(PLAN, edit(BAD), say("Done."), edit(GOOD, BAD), say("Taken out."))
    task = await submit(working, repository, PROMPT, "refactor")
    done, asked = await approve_all(working, task.id)
    assert (done.status, done.outcome) == (TaskStatus.COMPLETED, "pull_request"), done.error
    assert [approval.gate.value for approval in asked] == ["plan", "diff"]
    again = str(model.seen[3][-1].content)
    assert f"- app.py:{LINE}: AWS Access Key" in again
    assert KEY not in await told(working, task.id)
    assert KEY not in git(repository, "log", "-p", "--all")


async def test_then_a_person_is_asked_who_cannot_approve_it(working: Resources, repository: Path) -> None:
    working.models = script(PLAN, edit(BAD), say("Done."), say("I leave it."), edit(GOOD, BAD), say("Taken out."))
    task = await submit(working, repository, PROMPT, "refactor")
    await decide(working, await waiting(working, task.id), "approve")
    asked = await waiting(working, task.id)
    assert (asked.gate, asked.risk.level) == ("diff", RiskLevel.CRITICAL)
    assert asked.subject["secrets"] == [{"path": "app.py", "line": LINE, "kind": "AWS Access Key", "marked": False}]
    assert f"app.py:{LINE}: AWS Access Key" in asked.title
    assert KEY not in asked.model_dump_json()
    for decision in ("approve", "take_over"):
        with pytest.raises(InvalidRequestError, match="looks like a secret") as refused:
            await decide(working, asked, decision)
        assert refused.value.code == "secret_in_change"
    assert branches(repository) == []
    await decide(working, asked, "respond", comment="take the key out")
    done, _ = await approve_all(working, task.id)
    assert done.outcome == "pull_request", done.error
    assert KEY not in git(repository, "log", "-p", "--all") + await told(working, task.id)


async def test_what_the_change_marks_as_none_is_shown_and_needs_a_person(working: Resources, repository: Path) -> None:
    working.models = script(PLAN, edit(BAD + MARK), say("Done."))
    task = await submit(working, repository, PROMPT, "refactor")
    done, asked = await approve_all(working, task.id)
    assert done.outcome == "pull_request", done.error
    shown = next(approval for approval in asked if approval.gate == "diff")
    assert shown.risk.level is RiskLevel.HIGH
    assert [(secret["line"], secret["marked"]) for secret in shown.subject["secrets"]] == [(LINE, True)]
    assert any("marked as none" in reason for reason in shown.risk.reasons)
    assert KEY in git(repository, "show", f"{done.branch}:app.py")


async def test_a_persons_edit_that_brings_one_in_is_asked_about_again(working: Resources, repository: Path) -> None:
    working.models = script(PLAN, edit(GOOD), say("Done."))
    task = await submit(working, repository, PROMPT, "refactor")
    await decide(working, await waiting(working, task.id), "approve")
    first = await waiting(working, task.id)
    patch = first.subject["diff_text"]
    await decide(working, first, "edit", edited={"patch": patch.replace(GOOD, BAD)})
    second = await waiting(working, task.id)
    assert second.subject["secrets"][0]["kind"] == "AWS Access Key"
    with pytest.raises(InvalidRequestError):
        await decide(working, second, "approve")
    await decide(working, second, "edit", edited={"patch": patch.replace(GOOD, BAD + MARK)})
    done, asked = await approve_all(working, task.id)
    assert done.outcome == "pull_request", done.error
    assert asked[0].subject["secrets"][0]["marked"] is True


async def test_a_recipes_change_ends_with_a_clear_error(working: Resources, repository: Path) -> None:
    task = await submit(working, repository, f'replace "path.upper()" with "{KEY}" in app.py', "refactor")
    failed, _ = await approve_all(working, task.id)
    assert failed.status is TaskStatus.FAILED
    assert failed.error is not None
    assert (failed.error.code, failed.error.next_step) == ("secret_in_change", NEXT_STEP)
    assert f"app.py:{LINE}: AWS Access Key" in failed.error.message
    assert KEY not in failed.error.message
    assert branches(repository) == []


async def test_a_change_that_was_not_searched_to_its_end_is_shown_nowhere_but_on_request(
    working: Resources, repository: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "TIME_LIMIT_S", -1.0)
    task = await submit(working, repository, 'replace "path.upper()" with "path.lower()" in app.py', "refactor")
    done, asked = await approve_all(working, task.id)
    assert done.outcome in ("pull_request", "draft_pull_request"), done.error
    diff = next(approval for approval in asked if approval.gate == "diff")
    assert diff.subject["diff_text"] == scan.NOT_SHOWN
    assert diff.risk.level is RiskLevel.HIGH
    events = await told(working, task.id)
    assert scan.NOT_SHOWN in events
    assert "diff --git" not in events


async def test_the_baseline_at_the_base_commit_is_honoured(working: Resources, repository: Path) -> None:
    row = {"type": "AWS Access Key", "hashed_secret": hashlib.sha1(KEY.encode()).hexdigest()}
    (repository / ".secrets.baseline").write_text(json.dumps({"results": {"app.py": [row]}}))
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "known")
    working.models = script(PLAN, edit(BAD), say("Done."))
    task = await submit(working, repository, PROMPT, "refactor")
    done, asked = await approve_all(working, task.id)
    assert done.outcome == "pull_request", done.error
    assert asked[-1].subject["secrets"] == []


async def test_words_that_are_pushed_are_cleaned_of_it(working: Resources, repository: Path) -> None:
    (repository / "app.py").write_text((repository / "app.py").read_text() + f'KEY = "{KEY}"\n')
    git(repository, "commit", "-q", "-a", "-m", "oh")
    task = await submit(working, repository, f'replace "{KEY}" with "nothing" in app.py', "refactor")
    done, _ = await approve_all(working, task.id)
    assert done.outcome in ("pull_request", "draft_pull_request"), done.error
    branch = done.branch or ""
    assert KEY.lower() not in branch.lower()
    assert KEY not in git(repository, "log", "-1", "--format=%B", branch)
    assert f'KEY = "{KEY}"' not in git(repository, "show", f"{branch}:app.py")
