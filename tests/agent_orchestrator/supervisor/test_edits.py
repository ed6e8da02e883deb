"""A person's own edit of a plan or a change: a useless one is asked about again, and choosing what was there before is a choice too."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_orchestrator.resources import Resources
from shared.errors import InvalidRequestError
from shared.secrets.scan import HIDDEN
from shared.types import RiskLevel, TaskStatus
from tests.agent_orchestrator.conftest import git
from tests.agent_orchestrator.runtime.driving import approve_all, decide, submit, waiting
from tests.agent_orchestrator.supervisor.telling import PLAN, artifact, edit, told
from tests.agents.scripted_model import say, script
from tests.shared.secrets.seeds import aws_key

PROMPT = "Make load_conf strip white space"
BREAKING = "replace 'return path.upper()' with 'return path.lower()' in app.py"
GOOD = "path.strip().upper()"
USELESS = {
    "does not apply": "diff --git a/app.py b/app.py\n--- a/app.py\n+++ b/app.py\n@@ -1,1 +1,1 @@\n-not there\n+new\n",
    "is no patch": "please strip both sides\n",
    "changes nothing": "diff --git a/app.py b/app.py\n--- a/app.py\n+++ b/app.py\n@@ -2,2 +2,2 @@\n"
    '     """Read `path`."""\n-    return path.upper()\n+    return path.upper()\n',
}


@pytest.mark.parametrize("useless", USELESS)
async def test_a_patch_that_cannot_be_used_is_asked_about_again(working: Resources, repository: Path, useless: str) -> None:
    task = await submit(working, repository)
    await decide(working, await waiting(working, task.id), "approve")
    first = await waiting(working, task.id)
    await decide(working, first, "edit", edited={"patch": USELESS[useless]})
    again = await waiting(working, task.id)
    assert (again.gate, again.revision, again.content_sha256) == ("diff", first.revision + 1, first.content_sha256)
    assert again.subject == first.subject
    assert again.title.startswith("The edited patch cannot be used")
    assert again.title.endswith(first.title)
    assert ("changes nothing" if useless == "changes nothing" else "does not apply") in again.title
    logged = [event for event in await told(working, task.id, "log") if event["message"].startswith("The edited patch")]
    assert [event["level"] for event in logged] == ["warning"]
    await decide(working, again, "edit", edited={"patch": "worse\n"})
    third = await waiting(working, task.id)
    assert third.revision == first.revision + 2
    await decide(working, third, "edit", edited={"patch": first.subject["diff_text"]})
    last = await waiting(working, task.id)
    assert last.title == first.title
    done, _ = await approve_all(working, task.id)
    assert (done.status, done.outcome) == (TaskStatus.COMPLETED, "pull_request"), done.error
    assert "load_config" in git(repository, "show", f"{done.branch}:app.py")


async def test_it_is_asked_about_again_where_it_was_asked(working: Resources, repository: Path) -> None:
    task = await submit(working, repository, BREAKING)
    await decide(working, await waiting(working, task.id), "approve")
    red = await waiting(working, task.id)
    assert red.subject["test_results"]["newly_failing"]
    await decide(working, red, "edit", edited={"patch": USELESS["does not apply"]})
    again = await waiting(working, task.id)
    assert again.title.endswith(red.title)
    assert (again.risk, again.subject["test_results"]) == (red.risk, red.subject["test_results"])
    done, asked = await approve_all(working, task.id)
    assert (done.outcome, asked[0].id) == ("draft_pull_request", again.id), done.error


async def test_the_same_plan_and_the_same_change_go_on(working: Resources, repository: Path) -> None:
    task = await submit(working, repository)
    plan = await waiting(working, task.id)
    await decide(working, plan, "edit", edited={"plan": plan.subject})
    same = await waiting(working, task.id)
    assert (same.gate, same.revision, same.content_sha256) == ("plan", 2, plan.content_sha256)
    await decide(working, same, "approve")
    diff = await waiting(working, task.id)
    await decide(working, diff, "edit", edited={"patch": diff.subject["diff_text"]})
    done, asked = await approve_all(working, task.id)
    assert (done.status, done.outcome) == (TaskStatus.COMPLETED, "pull_request"), done.error
    assert [(approval.gate, approval.content_sha256) for approval in asked] == [("diff", diff.content_sha256)]


async def test_what_a_person_turned_down_they_may_choose_after_all(working: Resources, repository: Path) -> None:
    working.models = script(PLAN, edit(GOOD), say("Done."), edit("path.upper().strip()", GOOD), say("So?"))
    task = await submit(working, repository, PROMPT)
    await decide(working, await waiting(working, task.id), "approve")
    first = await waiting(working, task.id)
    await decide(working, first, "respond", comment="upper first")
    second = await waiting(working, task.id)
    await decide(working, second, "edit", edited={"patch": first.subject["diff_text"]})
    third = await waiting(working, task.id)
    assert third.content_sha256 == first.content_sha256
    done, _ = await approve_all(working, task.id)
    assert done.outcome == "pull_request", done.error
    assert GOOD in git(repository, "show", f"{done.branch}:app.py")


async def test_a_hidden_value_is_never_taken_for_the_value(working: Resources, repository: Path) -> None:
    bad = f'{GOOD} or "{aws_key()}"'
    working.models = script(PLAN, edit(bad), say("Done."), say("I leave it."))
    task = await submit(working, repository, PROMPT)
    await decide(working, await waiting(working, task.id), "approve")
    asked = await waiting(working, task.id)
    shown = asked.subject["diff_text"]
    assert HIDDEN in shown
    with pytest.raises(InvalidRequestError, match="stands in the place of a value") as refused:
        await decide(working, asked, "edit", edited={"patch": shown})
    assert (refused.value.status, refused.value.code) == (422, "hidden_value_in_patch")
    assert (await waiting(working, task.id)).id == asked.id
    await decide(working, asked, "edit", edited={"patch": USELESS["does not apply"]})
    again = await waiting(working, task.id)
    assert (again.title.endswith(asked.title), again.risk.level, again.subject["diff_text"]) == (True, RiskLevel.CRITICAL, shown)
    patch = (await artifact(working, task.id, "change.patch")).replace(bad, GOOD)
    await decide(working, again, "edit", edited={"patch": patch})
    done, _ = await approve_all(working, task.id)
    assert done.outcome == "pull_request", done.error
    assert HIDDEN not in git(repository, "log", "-p", "--all")
