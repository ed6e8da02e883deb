"""A task from its job to its pull request, through a real worker, database, sandbox and git."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agent_orchestrator.resources import Resources
from agent_orchestrator.tasks.service import TaskService
from shared.errors import ConflictError, FencedError
from shared.store import audit, pull_requests, runs
from shared.store.records import Approval
from shared.types import TaskStatus
from tests.agent_orchestrator.conftest import git
from tests.agent_orchestrator.runtime.driving import approve_all, decide, ended, submit, waiting


async def test_a_rename_becomes_a_pull_request(working: Resources, repository: Path) -> None:
    before = git(repository, "status", "--porcelain=v1", "--branch")
    task = await submit(working, repository)
    plan = await waiting(working, task.id)
    assert plan.gate == "plan"
    await decide(working, plan, "approve")
    diff = await waiting(working, task.id)
    assert diff.gate == "diff"
    assert diff.subject["test_results"]["verdict"] == "passed"
    await decide(working, diff, "approve")
    done = await ended(working, task.id)
    assert (done.status, done.outcome) == (TaskStatus.COMPLETED, "pull_request"), done.error
    assert done.branch is not None
    assert "load_config" in git(repository, "show", f"{done.branch}:app.py")
    assert git(repository, "status", "--porcelain=v1", "--branch") == before
    async with working.database.connection() as connection:
        pull, *more = (await pull_requests.list_(connection, str(repository)))[0]
        assert (await audit.verify(connection)).ok
    assert not more
    assert (pull.branch, pull.draft) == (done.branch, False)
    assert not list((working.settings.data_dir / "workspaces").glob("*/*/*"))


async def test_a_rejected_plan_changes_nothing(working: Resources, repository: Path) -> None:
    task = await submit(working, repository)
    await decide(working, await waiting(working, task.id), "reject", comment="not now")
    done = await ended(working, task.id)
    assert (done.status, done.outcome, done.pr_url) == (TaskStatus.CANCELLED, "rejected", None)
    assert git(repository, "branch", "--list", "persevere/*") == ""


async def test_an_approval_is_decided_once(working: Resources, repository: Path) -> None:
    task = await submit(working, repository)
    approval = await waiting(working, task.id)
    answers = await asyncio.gather(*(decide(working, approval, "approve") for _ in range(8)), return_exceptions=True)
    assert sum(isinstance(answer, Approval) for answer in answers) == 1
    refused = [answer for answer in answers if isinstance(answer, ConflictError)]
    assert len(refused) == 7
    assert refused[0].details["current"]["status"] == "approved"


async def test_without_a_model_other_work_fails_with_what_to_do(working: Resources, repository: Path) -> None:
    task = await submit(working, repository, "Add error handling to login endpoint")
    done = await ended(working, task.id)
    assert done.error is not None
    assert done.error.code == "model_required"
    assert "PERSEVERE_MODEL" in done.error.next_step
    again = await TaskService(working).retry(task.id, "local", "rename load_conf to load_config")
    assert (again.status, again.error) == (TaskStatus.QUEUED, None)
    finished, asked = await approve_all(working, task.id)
    assert (finished.outcome, len(asked)) == ("pull_request", 2)


async def test_a_task_that_waits_is_cancelled_at_once(working: Resources, repository: Path) -> None:
    task = await submit(working, repository)
    approval = await waiting(working, task.id)
    cancelled = await TaskService(working).cancel(task.id, "local")
    assert cancelled.status is TaskStatus.CANCELLED
    with pytest.raises(ConflictError):
        await decide(working, approval, "approve")


async def test_a_stale_worker_can_write_nothing(resources: Resources, repository: Path) -> None:
    from agent_orchestrator.runtime.lease import Lease

    task = await submit(resources, repository)
    async with resources.database.transaction() as tx:
        old = await runs.claim(tx, task.id, "1-1", 1, "elsewhere")
    async with resources.database.transaction() as tx:
        new = await runs.claim(tx, task.id, "2-2", 2, "elsewhere")
    stale = Lease(resources.database, task.id, old.epoch, old.thread_id)
    with pytest.raises(FencedError):
        async with stale.transaction():
            pytest.fail("a stale lease let its holder write")
    async with Lease(resources.database, task.id, new.epoch, new.thread_id).transaction():
        pass
