"""A stale writer changes nothing, whatever it writes; and a writer that was frozen keeps nobody out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool
from sqlalchemy import text

from agent_orchestrator.resources import Resources
from agent_orchestrator.runtime.active import ActiveRun, ActiveRuns
from agent_orchestrator.runtime.admission import claim
from agent_orchestrator.runtime.checkpoints.postgres import PostgresCheckpoints
from agent_orchestrator.runtime.context import build_context
from agent_orchestrator.runtime.endings import cancel_now, fail, hand_over
from agent_orchestrator.runtime.executor import POISON_LIMIT, RunExecutor
from agent_orchestrator.runtime.lease import Lease
from agent_orchestrator.supervisor.context import SupervisorContext
from shared.errors import FencedError, TaskFailedError
from shared.store import runs, tasks
from shared.store.database import FROZEN_S
from shared.types import Gate, Risk, RiskLevel, TaskStatus
from tests.agent_orchestrator.conftest import git
from tests.agent_orchestrator.runtime.driving import submit
from tests.agent_orchestrator.runtime.processes import record

Writer = Callable[[SupervisorContext, Lease, Resources], Awaitable[Any]]
RISK = Risk(level=RiskLevel.LOW, score=0.0, reasons=[])


def _ask(context: SupervisorContext) -> Awaitable[Any]:
    return context.gates.pass_or_ask(
        Gate.PLAN, revision=1, title="t", subject={}, content_sha256="0", risk=RISK, approvers=[], status=TaskStatus.PLAN_REVIEW
    )


def _open_pull(context: SupervisorContext) -> Awaitable[Any]:
    return context.pull_requests.open(
        repo="/r", branch="b", base_branch=None, base_commit="0", head_commit="1", title="t", body="", draft=False
    )


WRITES: dict[str, Writer] = {
    "gate": lambda context, *_: _ask(context),
    "artifact": lambda context, *_: context.journal.save_artifact("change.patch", b"data"),
    "effect intended": lambda context, *_: context.effects.intend("key", "push", {}),
    "effect done": lambda context, *_: context.effects.done("key", {}),
    "push": lambda context, *_: context.forge.push(context.task.repo, str(context.task.base_commit), "stale", Path("/nowhere")),
    "pull request": lambda context, *_: _open_pull(context),
    "failure": lambda _, lease, __: fail(lease, TaskFailedError("m", "n", code="c")),
    "cancellation": lambda _, lease, __: cancel_now(lease, "cancelled"),
    "hand-over": lambda _, lease, resources: hand_over(lease, resources.jobs),
}


@pytest.mark.parametrize("name", WRITES)
async def test_a_stale_run_writes_nothing(resources: Resources, repository: Path, name: str) -> None:
    task_id = (await submit(resources, repository)).id
    claimed = await claim(resources, task_id)
    assert claimed is not None
    head = git(repository, "rev-parse", "HEAD").strip()
    async with resources.database.transaction() as tx:
        task = await tasks.update(tx, task_id, base_commit=head)
    lease = Lease(resources.database, task_id, claimed[1].epoch, claimed[1].thread_id)
    context = await build_context(resources, lease, task)
    assert await claim(resources, task_id) is not None
    before = record(resources.database.conninfo, task_id)
    with pytest.raises(FencedError):
        await WRITES[name](context, lease, resources)
    assert record(resources.database.conninfo, task_id) == before
    assert git(repository, "branch", "--list", "stale") == ""


async def test_a_stale_run_removes_no_later_runs_workspace(resources: Resources, repository: Path) -> None:
    task_id = (await submit(resources, repository)).id
    head = git(repository, "rev-parse", "HEAD").strip()
    async with resources.database.transaction() as tx:
        task = await tasks.update(tx, task_id, base_commit=head)
    old, new = (Lease(resources.database, task_id, epoch, task_id) for epoch in (1, 2))
    await build_context(resources, new, task)
    await build_context(resources, old, task)
    folder = resources.settings.data_dir / "workspaces" / task_id
    assert (folder / "2").is_dir()


async def test_a_frozen_transaction_keeps_nobody_out(resources: Resources, repository: Path) -> None:
    """What a worker that was stopped within a transaction has locked is free after a few seconds, and its transaction is undone."""
    task_id = (await submit(resources, repository)).id
    claimed = await claim(resources, task_id)
    assert claimed is not None
    lease = Lease(resources.database, task_id, claimed[1].epoch, claimed[1].thread_id)
    frozen = lease.transaction()
    tx = await frozen.__aenter__()
    await tasks.update(tx, task_id, title="written by a frozen worker")
    began = time.monotonic()
    again = await claim(resources, task_id)
    assert time.monotonic() - began < FROZEN_S + 4
    assert again is not None
    assert again[0].title != "written by a frozen worker"
    with pytest.raises(Exception):  # noqa: B017, PT011
        await tx.execute(text("SELECT 1"))
    await tx.close()


async def test_a_run_that_was_taken_over_or_cancelled_is_stopped_at_once(resources: Resources, repository: Path) -> None:
    active = ActiveRuns(resources.database)
    watching = asyncio.create_task(active.watch())
    stopped: list[tuple[str | None, bool]] = []
    for how in ("lost", "cancelled"):
        task_id = (await submit(resources, repository)).id
        claimed = await claim(resources, task_id)
        assert claimed is not None
        run = ActiveRun(Lease(resources.database, task_id, claimed[1].epoch, task_id), work=asyncio.create_task(asyncio.sleep(60)))
        active.add(run)
        await asyncio.sleep(0.5)
        assert run.stopped_by is None
        if how == "lost":
            await claim(resources, task_id)
        else:
            async with resources.database.transaction() as tx:
                await runs.request_cancel(tx, task_id)
        began = time.monotonic()
        assert run.work is not None
        await asyncio.wait([run.work], timeout=5)
        stopped.append((run.stopped_by, time.monotonic() - began < 1))
        active.remove(run)
    watching.cancel()
    assert stopped == [("lost", True), ("cancelled", True)]


async def test_a_task_that_keeps_killing_its_worker_is_given_up(resources: Resources, repository: Path) -> None:
    task_id = (await submit(resources, repository)).id
    for _ in range(POISON_LIMIT + 1):
        claimed = await claim(resources, task_id)
        assert claimed is not None
    pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
        resources.database.conninfo, kwargs={"autocommit": True, "row_factory": dict_row}, open=False
    )
    async with pool:
        await RunExecutor(resources, PostgresCheckpoints(pool)).execute(task_id)
    async with resources.database.connection() as connection:
        task = await tasks.get(connection, task_id)
    assert task is not None
    assert task.error is not None
    assert (task.status, task.error.code) == (TaskStatus.FAILED, "poison_run")
