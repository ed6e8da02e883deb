"""How tasks end: every row of the table of endings that needs no model, through the real thing."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from agent_orchestrator.resources import Resources, open_resources
from agent_orchestrator.runtime.endings import expire_due
from agent_orchestrator.tasks.service import TaskService
from config.settings import Settings
from shared.errors import InvalidRequestError
from shared.types import Gate, TaskStatus
from tests.agent_orchestrator.conftest import git
from tests.agent_orchestrator.runtime.driving import approve_all, decide, ended, submit, waiting

BREAKING = "replace 'return path.upper()' with 'return path.lower()' in app.py"


def commit(repo: Path, files: dict[str, str]) -> None:
    for name, content in files.items():
        (repo / name).parent.mkdir(parents=True, exist_ok=True)
        (repo / name).write_text(content)
    git(repo, "add", "-A")
    git(repo, "commit", "-q", "-m", "more")


async def test_red_tests_wait_for_a_person_who_may_open_a_draft(working: Resources, repository: Path) -> None:
    task = await submit(working, repository, BREAKING)
    await decide(working, await waiting(working, task.id), "approve")
    red = await waiting(working, task.id)
    assert (await TaskService(working).get(task.id, "local")).status is TaskStatus.WAITING
    assert red.risk.level == "high"
    assert red.subject["test_results"]["newly_failing"]
    done, _ = await approve_all(working, task.id)
    assert (done.status, done.outcome) == (TaskStatus.COMPLETED, "draft_pull_request")


async def test_red_tests_can_be_dropped(working: Resources, repository: Path) -> None:
    task = await submit(working, repository, BREAKING)
    await decide(working, await waiting(working, task.id), "approve")
    await decide(working, await waiting(working, task.id), "reject")
    done = await ended(working, task.id)
    assert (done.status, done.outcome) == (TaskStatus.CANCELLED, "rejected")
    assert git(repository, "branch", "--list", "persevere/*") == ""


async def test_old_failures_are_listed_and_not_blamed(working: Resources, repository: Path) -> None:
    broken = "import unittest\n\n\nclass OldTest(unittest.TestCase):\n    def test_old(self):\n        self.fail('old')\n"
    commit(repository, {"test_old.py": broken})
    task = await submit(working, repository)
    done, _ = await approve_all(working, task.id)
    assert (done.status, done.outcome) == (TaskStatus.COMPLETED, "pull_request")
    assert done.test_results is not None
    assert (len(done.test_results.failing_before), done.test_results.newly_failing) == (1, [])


async def test_without_tests_the_pull_request_is_a_draft(working: Resources, repository: Path) -> None:
    git(repository, "rm", "-q", "test_app.py")
    git(repository, "commit", "-q", "-m", "no tests")
    done, _ = await approve_all(working, (await submit(working, repository)).id)
    assert (done.status, done.outcome) == (TaskStatus.COMPLETED, "draft_pull_request")


async def test_nothing_to_change(working: Resources, repository: Path) -> None:
    task = await submit(working, repository, "replace 'nowhere to be found' with 'x'")
    done, asked = await approve_all(working, task.id)
    assert done.pr_url is None
    assert not asked
    assert done.outcome == "nothing_to_change" or (done.error is not None and done.error.next_step)


async def test_no_such_symbol_fails_with_what_to_do(working: Resources, repository: Path) -> None:
    done, _ = await approve_all(working, (await submit(working, repository, "rename lod_conf to load_config")).id)
    assert done.status is TaskStatus.FAILED
    assert done.error is not None
    assert "load_conf" in done.error.message + done.error.next_step


async def test_a_policy_change_is_asked_about_three_times(working: Resources, repository: Path) -> None:
    commit(repository, {"migrations/0001_start.sql": "SELECT 1;\n"})
    task = await submit(working, repository, "Add HITL approval for database migrations", "infrastructure")
    done, asked = await approve_all(working, task.id)
    assert [item.gate for item in asked] == [Gate.PLAN, Gate.DIFF, Gate.PR], done.error
    assert all(item.risk.level == "high" for item in asked)
    assert "migrations" in git(repository, "show", f"{done.branch}:.persevere.yml")


async def test_a_named_command_runs_behind_its_own_gate(working: Resources, repository: Path) -> None:
    commit(
        repository, {".persevere.yml": "commands:\n  deploy:\n    run: [echo, 'deployed {target}']\n    targets: [orchestrator, console]\n"}
    )
    done, asked = await approve_all(working, (await submit(working, repository, "deploy the orchestrator", "infrastructure")).id)
    assert [(item.gate, item.risk.level) for item in asked] == [(Gate.COMMAND, "high")], done.error
    assert (done.status, done.outcome, done.pr_url) == (TaskStatus.COMPLETED, "answered", None)
    events = await working.feed.read(done.id)
    assert "deployed orchestrator" in events[-1].data["answer"]


async def test_running_the_tests_reports_and_changes_nothing(working: Resources, repository: Path) -> None:
    done, _ = await approve_all(working, (await submit(working, repository, "run the tests", "test")).id)
    assert (done.status, done.outcome, done.pr_url) == (TaskStatus.COMPLETED, "tests_run", None), done.error
    assert done.test_results is not None
    assert done.test_results.verdict == "passed"


async def test_an_edited_diff_is_tested_and_asked_about_again(working: Resources, repository: Path) -> None:
    task = await submit(working, repository)
    await decide(working, await waiting(working, task.id), "approve")
    first = await waiting(working, task.id)
    edited = first.subject["diff_text"].replace("+    return load_config", "+    return  load_config").replace('"""Read', '"""Read')
    edited = edited.replace("+from app import load_config", "+from app import load_config  # edited")
    await decide(working, first, "edit", edited={"patch": edited})
    second = await waiting(working, task.id)
    assert second.revision == first.revision + 1
    assert second.content_sha256 != first.content_sha256
    done, _ = await approve_all(working, task.id)
    assert "# edited" in git(repository, "show", f"{done.branch}:test_app.py")


async def test_a_comment_that_no_recipe_understands_is_said_so(working: Resources, repository: Path) -> None:
    task = await submit(working, repository)
    await decide(working, await waiting(working, task.id), "respond", comment="make it nicer")
    done = await ended(working, task.id)
    assert done.error is not None
    assert done.error.code == "same_plan_again"


async def test_a_comment_that_is_a_better_request_is_followed(working: Resources, repository: Path) -> None:
    task = await submit(working, repository)
    await decide(working, await waiting(working, task.id), "respond", comment="rename load_conf to read_config instead")
    again = await waiting(working, task.id)
    assert again.revision == 2
    assert "read_config" in again.title


async def test_a_command_cannot_be_edited(working: Resources, repository: Path) -> None:
    commit(repository, {".persevere.yml": "commands:\n  migrate:\n    run: [echo, done]\n"})
    task = await submit(working, repository, "run migrate", "infrastructure")
    approval = await waiting(working, task.id)
    with pytest.raises(InvalidRequestError):
        await decide(working, approval, "edit", edited={"plan": {"summary": "rm -rf /"}})


async def test_a_question_nobody_answered_fails_the_task_and_a_retry_asks_again(working: Resources, repository: Path) -> None:
    task = await submit(working, repository)
    first = await waiting(working, task.id)
    async with working.database.transaction() as tx:
        await tx.execute(text("UPDATE approvals SET expires_at = now() - interval '1 second'"))
    async with working.database.transaction() as tx:
        assert await expire_due(tx) == 1
    failed = await ended(working, task.id)
    assert failed.error is not None
    assert failed.error.code == "approval_expired"
    await TaskService(working).retry(task.id, "local")
    second = await waiting(working, task.id)
    assert (second.revision, second.content_sha256) == (2, first.content_sha256)


async def test_a_cancelled_task_can_be_started_again(working: Resources, repository: Path) -> None:
    task = await submit(working, repository)
    await waiting(working, task.id)
    await TaskService(working).cancel(task.id, "local")
    await TaskService(working).retry(task.id, "local")
    done, asked = await approve_all(working, task.id)
    assert (done.outcome, len(asked)) == ("pull_request", 2)


async def test_in_the_plain_process_the_diff_is_approved_before_its_tests_run(settings: Settings, repository: Path) -> None:
    async with open_resources(settings.model_copy(update={"sandbox": "process"}), worker=True) as unsafe:
        task = await submit(unsafe, repository)
        await decide(unsafe, await waiting(unsafe, task.id), "approve")
        diff = await waiting(unsafe, task.id)
        assert (diff.gate, diff.subject["test_results"]) == (Gate.DIFF, None)
        done, asked = await approve_all(unsafe, task.id)
    assert (done.outcome, [item.gate for item in asked]) == ("pull_request", [Gate.DIFF]), done.error
    assert done.test_results is not None
    assert done.test_results.verdict == "passed"


async def test_a_change_that_drops_a_test_is_high_risk(working: Resources, repository: Path) -> None:
    task = await submit(working, repository, "replace 'def test_load' with 'def skipped_load' in test_app.py")
    done, asked = await approve_all(working, task.id)
    assert [item.gate for item in asked] == [Gate.PLAN, Gate.DIFF, Gate.PR], done.error
    assert asked[1].risk.level == "high"
    assert done.outcome == "draft_pull_request"
