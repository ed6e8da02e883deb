"""Reviews as people ask for them, on a real repository."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from agent_orchestrator.resources import Resources
from shared.types import TaskStatus
from tests.agent_orchestrator.conftest import git
from tests.agent_orchestrator.runtime.driving import approve_all, ended, submit
from tests.agent_orchestrator.supervisor.telling import artifact, asked_for, comment, told
from tests.agents.scripted_model import call, review, say, script

WORSE = "import os\n\n\ndef load_conf(path):\n    return path.upper() + path\n"


@pytest.fixture
def branch(repository: Path) -> str:
    """A branch `feature/x` that is one commit ahead of `main`, which is checked out."""
    git(repository, "switch", "-q", "-c", "feature/x")
    (repository / "app.py").write_text(WORSE)
    git(repository, "commit", "-q", "-a", "-m", "twice")
    git(repository, "switch", "-q", "main")
    return git(repository, "rev-parse", "feature/x").strip()


async def test_a_branch_is_reviewed_by_a_model_that_knows_the_static_findings(working: Resources, repository: Path, branch: str) -> None:
    working.models = model = script(
        call("read_file", path="test_app.py"), review("needs_changes", comment(5, suggestion="    return path.upper()"), comment(1, "note"))
    )
    done = await asked_for(working, repository, "review the diff of branch feature/x")
    assert (done.status, done.outcome, done.workflow, done.base_commit) == (TaskStatus.COMPLETED, "answered", "code_review", branch)
    first = str(model.seen[0][-1].content)
    assert "     5 +     return path.upper() + path" in first
    assert "F401" in first
    report = await artifact(working, done.id, "report.md")
    assert report.startswith("# Review of branch feature/x against main\n\n**needs changes: 1 blocker, 1 note** (by scripted:model)")
    assert (
        report.index("## app.py")
        < report.index("**note** line 1")
        < report.index("**blocker** line 5")
        < report.index("## Static analysis")
    )
    assert (await told(working, done.id, "task_completed"))[-1]["answer"] == report
    assert [event["review"]["verdict"] for event in await told(working, done.id, "review_ready")] == ["needs_changes"]
    assert json.loads(await artifact(working, done.id, "review.json"))["of"] == branch
    assert git(repository, "branch", "--format=%(refname:short)").split() == ["feature/x", "main"]


async def test_without_a_model_the_changed_lines_are_analysed(working: Resources, repository: Path, branch: str) -> None:
    done = await asked_for(working, repository, "review the diff of branch feature/x")
    assert (done.status, done.outcome) == (TaskStatus.COMPLETED, "answered")
    report = await artifact(working, done.id, "report.md")
    assert report.startswith("Reviewed branch feature/x against main, 1 changed file, with static analysis: 1 finding")
    assert "`app.py:1`" in report


async def test_a_task_that_did_not_come_from_the_chat_is_understood_too(working: Resources, repository: Path, branch: str) -> None:
    task = await submit(working, repository, "review the diff of branch feature/x", "code_review")
    done = await ended(working, task.id)
    assert (done.outcome, done.base_commit) == ("answered", branch)
    assert "1 finding" in await artifact(working, done.id, "report.md")


async def test_the_last_commit(working: Resources, repository: Path, branch: str) -> None:
    git(repository, "switch", "-q", "feature/x")
    working.models = model = script(review("looks_good"))
    done = await asked_for(working, repository, "review my last commit")
    assert done.outcome == "answered", done.error
    assert "the last commit of feature/x" in str(model.seen[0][-1].content)
    assert "no comments" in await artifact(working, done.id, "report.md")


async def test_a_pull_request_of_the_local_forge(working: Resources, repository: Path) -> None:
    made, _ = await approve_all(working, (await submit(working, repository)).id)
    assert made.pr_url
    working.models = model = script(review("looks_good"))
    done = await asked_for(working, repository, "review this pull request")
    assert done.outcome == "answered", done.error
    assert "pull request #1" in str(model.seen[0][-1].content)
    assert "+ def load_config(path)" in str(model.seen[0][-1].content)


@pytest.mark.parametrize(
    ("words", "code"),
    [("review pull request #7", "no_pull_request"), ("review the diff of branch nothing", "branch_not_found")],
)
async def test_what_is_not_there_is_said(working: Resources, repository: Path, words: str, code: str) -> None:
    done = await asked_for(working, repository, words)
    assert done.error is not None
    assert (done.status, done.error.code, bool(done.error.next_step)) == (TaskStatus.FAILED, code, True)


async def test_a_branch_without_changes_is_nothing_to_review(working: Resources, repository: Path) -> None:
    git(repository, "branch", "same")
    done = await asked_for(working, repository, "review the diff of branch same")
    assert (done.status, done.outcome) == (TaskStatus.COMPLETED, "nothing_to_change")


async def test_a_question_no_recipe_understands_is_reviewed_too(working: Resources, repository: Path) -> None:
    looks = call("DraftPlan", summary="Look at load_conf", steps=[{"title": "Read app.py", "files": []}])
    working.models = script(looks, review("looks_good", comment(3, "note")))
    task = await submit(working, repository, "review load_conf for race conditions", "code_review")
    done = await ended(working, task.id)
    assert done.outcome == "answered", done.error
    assert "**note** line 3" in await artifact(working, task.id, "report.md")


async def test_a_review_that_cannot_be_used_fails_with_a_next_step(working: Resources, repository: Path, branch: str) -> None:
    working.models = script(say("Fine."), say("Fine."))
    done = await asked_for(working, repository, "review the diff of branch feature/x")
    assert done.error is not None
    assert (done.status, done.error.code, bool(done.error.next_step)) == (TaskStatus.FAILED, "review_invalid", True)
