"""Red changes: a model goes on with what a recipe began, and a person takes over what nobody repairs."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_orchestrator.resources import Resources, open_resources
from config.settings import Settings
from shared.errors import InvalidRequestError
from shared.types import TaskStatus
from tests.agent_orchestrator.conftest import git
from tests.agent_orchestrator.runtime.driving import approve_all, decide, ended, submit, waiting
from tests.agent_orchestrator.supervisor.telling import PLAN, edit, told
from tests.agents.scripted_model import call, say, script


async def test_a_person_takes_the_branch_of_a_red_change_over(working: Resources, repository: Path) -> None:
    (repository / "test_app.py").write_text(
        (repository / "test_app.py").read_text() + "\n\nassert 'def load_conf(' in open('app.py').read()\n"
    )
    git(repository, "commit", "-q", "-a", "-m", "pinned")
    task = await submit(working, repository)
    planned = await waiting(working, task.id)
    with pytest.raises(InvalidRequestError, match="no branch to take over yet"):
        await decide(working, planned, "take_over")
    await decide(working, planned, "approve")
    red = await waiting(working, task.id)
    assert "Take over: the branch is yours" in red.title
    await decide(working, red, "take_over")
    done = await ended(working, task.id)
    assert (done.status, done.outcome, done.pr_url, done.error) == (TaskStatus.COMPLETED, "taken_over", None, None)
    assert done.branch
    assert "load_config" in git(repository, "show", f"{done.branch}:app.py")
    last = (await told(working, task.id, "task_completed"))[-1]
    assert last["branch"] == done.branch
    assert done.branch in last["notes"][0]


PINNED = "\n\nassert 'def load_conf(' in open('app.py').read()\n"


async def test_a_model_goes_on_with_a_recipe_s_change_that_made_tests_red(working: Resources, repository: Path) -> None:
    (repository / "test_app.py").write_text((repository / "test_app.py").read_text() + PINNED)
    git(repository, "commit", "-q", "-a", "-m", "pinned")
    again = "def load_config(path):"
    working.models = model = script(
        call("edit_file", path="app.py", old=again, new=f"{again}  # was: def load_conf("), say("The old name is in a comment.")
    )
    task = await submit(working, repository)
    await decide(working, await waiting(working, task.id), "approve")
    asked = await waiting(working, task.id)
    first = str(model.seen[0][-1].content)
    assert "begun by the recipe rename_symbol" in first
    assert "AssertionError" in first
    assert (asked.gate, asked.title, asked.risk.level) == ("diff", "Open a pull request with this change?", "medium")
    assert "a model went on with the recipe's change" in asked.risk.reasons
    assert asked.subject["test_results"]["verdict"] == "passed"
    done, _ = await approve_all(working, task.id)
    assert done.outcome == "pull_request", done.error


async def test_what_the_recipe_did_not_touch_needs_a_wider_plan(working: Resources, repository: Path) -> None:
    pinned = "\n\nassert open('names.txt').read().strip() in open('app.py').read()\n"
    (repository / "test_app.py").write_text((repository / "test_app.py").read_text() + pinned)
    (repository / "names.txt").write_text("def load_conf(\n")
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "pinned")
    name = {"path": "names.txt", "old": "load_conf", "new": "load_config"}
    working.models = script(
        call("edit_file", **name),
        call("widen_plan", files=["names.txt"], reason="it names the function"),
        call("edit_file", **name),
        say("The name is the new one."),
    )
    task = await submit(working, repository)
    await decide(working, await waiting(working, task.id), "approve")
    wider = await waiting(working, task.id)
    assert (wider.gate, wider.revision) == ("plan", 2)
    assert wider.subject["steps"][-1]["files"] == ["names.txt"]
    assert wider.subject["recipe"] is None
    done, asked = await approve_all(working, task.id)
    assert (done.outcome, [approval.gate.value for approval in asked]) == ("pull_request", ["plan", "diff"]), done.error
    assert done.diff_summary is not None
    assert done.diff_summary["paths"] == ["app.py", "names.txt", "test_app.py"]


async def test_a_repair_that_breaks_off_leaves_the_change_to_a_person(working: Resources, repository: Path) -> None:
    refuses = say("", additional_kwargs={"refusal": "Not this."})
    working.models = script(PLAN, edit("path.strip()"), say("Done."), refuses)
    task = await submit(working, repository, "Make load_conf strip white space", "refactor")
    await decide(working, await waiting(working, task.id), "approve")
    red = await waiting(working, task.id)
    assert "Take over" in red.title
    assert red.subject["notes"] == ["The repair ended without a result: The model refused the request: Not this."]
    await decide(working, red, "take_over")
    done = await ended(working, task.id)
    assert done.outcome == "taken_over", done.error
    assert "path.strip()" in git(repository, "show", f"{done.branch}:app.py")


async def test_another_change_after_red_tests_is_tested_itself(settings: Settings, repository: Path) -> None:
    """Where the diff is approved before its tests run, old results are none of a new change."""
    async with open_resources(settings.model_copy(update={"sandbox": "process"}), worker=True) as working:
        task = await submit(working, repository, "replace 'def load_conf' with 'def read_conf' in app.py")
        await decide(working, await waiting(working, task.id), "approve")
        await decide(working, await waiting(working, task.id), "approve")
        red = await waiting(working, task.id)
        assert "Take over" in red.title
        await decide(working, red, "respond", comment="replace 'path.upper()' with 'str(path).upper()' in app.py instead")
        await decide(working, await waiting(working, task.id), "approve")
        other = await waiting(working, task.id)
        assert "+    return str(path).upper()" in other.subject["diff_text"]
        assert (other.gate, other.subject["test_results"]) == ("diff", None)
        await decide(working, other, "approve")
        done, _ = await approve_all(working, task.id)
        assert done.outcome == "pull_request", done.error
        assert [results["results"]["verdict"] for results in await told(working, task.id, "test_results")] == ["failed", "passed"]
        async with working.database.connection() as connection:
            names = {artifact.name for artifact in await working.artifacts.list_(connection, task.id)}
        assert {name for name in names if name.endswith(".patch")} == {"change.patch"}


async def test_a_comment_on_a_change_outlives_a_wider_plan_that_a_person_edits(working: Resources, repository: Path) -> None:
    working.models = model = script(
        PLAN,
        edit("path.strip().upper()"),
        say("Done."),
        call("widen_plan", files=["test_app.py"], reason="the test must say it"),
        edit("str(path).upper()", "path.strip().upper()"),
        say("As you said."),
    )
    task = await submit(working, repository, "Make load_conf strip white space", "refactor")
    await decide(working, await waiting(working, task.id), "approve")
    await decide(working, await waiting(working, task.id), "respond", comment="also take a Path")
    wider = await waiting(working, task.id)
    await decide(working, wider, "edit", edited={"plan": {**wider.subject, "summary": "Strip, and take a Path"}})
    done, _ = await approve_all(working, task.id)
    assert done.outcome == "pull_request", done.error
    assert "The person says: also take a Path" in str(model.seen[4][-1].content)
