"""A task from its job to its pull request, through a real worker, database, sandbox and git."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agent_orchestrator.approvals.service import ApprovalService
from agent_orchestrator.resources import Resources
from agent_orchestrator.tasks.service import TaskDraft, TaskService
from shared.errors import ConflictError, FencedError
from shared.store import approvals, audit, pull_requests, runs
from shared.store.records import Approval, Task
from shared.types import TaskStatus
from tests.agent_orchestrator.conftest import git

RENAME = {"recipe": {"name": "rename_symbol", "slots": {"old": "load_conf", "new": "load_config"}}}


async def submit(resources: Resources, repo: Path, prompt: str = "rename load_conf to load_config") -> Task:
    draft = TaskDraft(user_id="local", prompt=prompt, title=prompt, repo=str(repo), workflow="refactor")
    async with resources.database.transaction() as tx:
        return await TaskService(resources).create(tx, draft)


async def waiting(resources: Resources, task_id: str, limit_s: float = 30) -> Approval:
    """The approval the task waits for."""
    async with asyncio.timeout(limit_s):
        while True:
            async with resources.database.connection() as connection:
                pending = await approvals.pending_for_task(connection, task_id)
            if pending is not None:
                return pending
            task = await TaskService(resources).get(task_id, "local")
            assert not task.status.is_final, task.error
            await asyncio.sleep(0.05)


async def ended(resources: Resources, task_id: str, limit_s: float = 60) -> Task:
    async with asyncio.timeout(limit_s):
        while True:
            task = await TaskService(resources).get(task_id, "local")
            if task.status.is_final:
                return task
            await asyncio.sleep(0.05)


async def decide(resources: Resources, approval: Approval, decision: str, comment: str | None = None) -> Approval:
    service = ApprovalService(resources)
    return await service.decide(approval.id, by="local", decision=decision, revision=approval.revision, comment=comment)  # type: ignore[arg-type]


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
    await decide(working, await waiting(working, task.id), "reject", "not now")
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
    assert again.status is TaskStatus.QUEUED


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
