"""Reviews as people ask for them, and a branch a person takes over, on a real repository."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agent_orchestrator.approvals.service import ApprovalService
from agent_orchestrator.conversation.service import ChatTurn, Conversation
from agent_orchestrator.resources import Resources
from agent_orchestrator.tasks.service import TaskService
from shared.errors import InvalidRequestError
from shared.events import store as events_store
from shared.store import pull_requests
from shared.store.records import Task
from shared.types import TaskStatus
from tests.agent_orchestrator.conftest import git
from tests.agent_orchestrator.runtime.driving import approve_all, decide, ended, submit, waiting
from tests.agents.scripted_model import call, review, say, script

WORSE = "import os\n\n\ndef load_conf(path):\n    return path.upper() + path\n"


def comment(line: int, severity: str = "blocker", **more: Any) -> dict[str, Any]:
    return {"severity": severity, "file": "app.py", "line": line, "comment": "The path comes twice.", **more}


@pytest.fixture
def branch(repository: Path) -> str:
    """A branch `feature/x` that is one commit ahead of `main`, which is checked out."""
    git(repository, "switch", "-q", "-c", "feature/x")
    (repository / "app.py").write_text(WORSE)
    git(repository, "commit", "-q", "-a", "-m", "twice")
    git(repository, "switch", "-q", "main")
    return git(repository, "rev-parse", "feature/x").strip()


async def asked_for(resources: Resources, repository: Path, words: str) -> Task:
    conversation = Conversation(resources, TaskService(resources), ApprovalService(resources))
    answer = await conversation.turn(ChatTurn(message=words, user_id="local", context={"repo": str(repository)}))
    assert answer.task_id is not None, answer
    return await ended(resources, answer.task_id)


async def artifact(resources: Resources, task_id: str, name: str) -> str:
    async with resources.database.connection() as connection:
        return (await resources.artifacts.load(connection, task_id, name)).decode()


async def told(resources: Resources, task_id: str, kind: str) -> list[dict[str, Any]]:
    async with resources.database.connection() as connection:
        return [event.data for event in await events_store.read(connection, task_id) if event.type == kind]


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


PLAN = call("DraftPlan", summary="Strip white space in load_conf", steps=[{"title": "Strip", "files": ["app.py"]}])


def edit(new: str, old: str = "path.upper()") -> Any:
    return call("edit_file", path="app.py", old=old, new=new)


async def test_blockers_go_back_once_and_the_last_review_is_with_the_question(working: Resources, repository: Path) -> None:
    working.models = model = script(
        PLAN,
        edit("path.upper().strip()"),
        say("It strips."),
        review("needs_changes", comment(3, comment="Strip first, then upper."), comment(3, "note", comment="Say why.")),
        edit("path.strip().upper()", "path.upper().strip()"),
        say("Turned round."),
        review("looks_good", comment(3, "note", comment="Say why."), summary="It strips the path."),
    )
    task = await submit(working, repository, "Make load_conf strip white space", "feature_dev")
    await decide(working, await waiting(working, task.id), "approve")
    asked = await waiting(working, task.id)
    back = str(model.seen[4][-1].content)
    assert "app.py:3: Strip first, then upper." in back
    assert "Say why." not in back
    assert (asked.gate, asked.title, asked.risk.level) == ("diff", "Open a pull request with this change?", "medium")
    assert asked.subject["review"]["summary"] == "It strips the path."
    assert "+    return path.strip().upper()" in asked.subject["diff_text"]
    assert asked.subject["test_results"]["verdict"] == "passed"
    await decide(working, asked, "approve")
    done = await ended(working, task.id)
    assert done.outcome == "pull_request", done.error
    async with working.database.connection() as connection:
        made = await pull_requests.by_task(connection, task.id)
    assert made is not None
    assert (
        "## Review\n\nIt strips the path.\n\n- **note** `app.py:3` Say why.\n\nBy `scripted:model`, a model; a person decided." in made.body
    )
    assert [event["review"]["verdict"] for event in await told(working, task.id, "review_ready")] == ["needs_changes", "looks_good"]
    assert "**note** line 3: Say why." in await artifact(working, task.id, "review.md")


async def test_what_still_blocks_is_for_a_person_to_decide(working: Resources, repository: Path) -> None:
    working.models = model = script(
        PLAN,
        edit("path.upper().strip()"),
        say("It strips."),
        review("looks_good", comment(3)),
        say("The reviewer is wrong: it comes once."),
    )
    task = await submit(working, repository, "Make load_conf strip white space", "feature_dev")
    await decide(working, await waiting(working, task.id), "approve")
    asked = await waiting(working, task.id)
    assert len(model.seen) == 5
    assert asked.title == "Open a pull request with this change? The review found 1 blocker."
    assert (asked.risk.level, asked.risk.reasons[0]) == ("high", "the review found 1 blocker")
    assert asked.subject["notes"] == ["What the model says about its change: The reviewer is wrong: it comes once."]
    assert len(await told(working, task.id, "test_results")) == 1
    done, more = await approve_all(working, task.id)
    assert (done.outcome, [approval.gate.value for approval in more]) == ("pull_request", ["diff", "pr"])


async def test_a_review_that_cannot_be_made_holds_nothing_up(working: Resources, repository: Path) -> None:
    refuses = say("", additional_kwargs={"refusal": "I do not review."})
    working.models = script(PLAN, edit("path.strip().upper()"), say("It strips."), refuses)
    task = await submit(working, repository, "Make load_conf strip white space", "feature_dev")
    await decide(working, await waiting(working, task.id), "approve")
    asked = await waiting(working, task.id)
    assert asked.subject["review"]["verdict"] == "none"
    assert "I do not review." in asked.subject["review"]["summary"]
    done, _ = await approve_all(working, task.id)
    assert done.outcome == "pull_request", done.error


async def test_a_comment_of_a_person_is_reviewed_again(working: Resources, repository: Path) -> None:
    working.models = model = script(
        PLAN, edit("path.strip().upper()"), say("It strips."), review("looks_good"),
        edit('path.strip().upper() or ""', "path.strip().upper()"), say("Never empty."), review("looks_good"),
    )  # fmt: skip
    task = await submit(working, repository, "Make load_conf strip white space", "feature_dev")
    await decide(working, await waiting(working, task.id), "approve")
    await decide(working, await waiting(working, task.id), "respond", comment="never None")
    second = await waiting(working, task.id)
    assert second.revision == 2
    assert 'or ""' in str(model.seen[6][-1].content)
    done, _ = await approve_all(working, task.id)
    assert done.outcome == "pull_request", done.error


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
