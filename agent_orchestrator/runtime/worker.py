"""The worker of a process: jobs, the executor, and taking over what dead processes of this machine left."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from sqlalchemy.ext.asyncio import AsyncConnection

from agent_orchestrator.runtime.admission import admit_waiting
from agent_orchestrator.runtime.endings import expire_due
from agent_orchestrator.runtime.host import is_gone
from agent_orchestrator.runtime.pruning import prune_regularly
from agent_orchestrator.runtime.sweeping import sweep_regularly
from shared import metrics
from shared.background import end_task
from shared.jobs.worker import JobWorker, WorkerOptions, open_worker
from shared.store import runs
from shared.store.database import CONNECTION, check_alive, give_up_when_frozen

if TYPE_CHECKING:
    from collections.abc import Callable

    from agent_orchestrator.resources import Resources
    from agent_orchestrator.runtime.checkpoints.port import Checkpoints
    from agent_orchestrator.runtime.executor import RunExecutor

log = logging.getLogger(__name__)

EXPIRE_EVERY_S = 30.0
ADOPT_EVERY_S = 10.0


@contextlib.asynccontextmanager
async def open_run_worker(
    resources: Resources, make_executor: Callable[[Resources, Checkpoints], RunExecutor] | None = None
) -> AsyncIterator[JobWorker]:
    """Serve this database's runs until the context ends. `make_executor` is for other graphs than the supervisor's."""
    from psycopg.rows import dict_row
    from psycopg_pool import AsyncConnectionPool

    from agent_orchestrator.runtime.checkpoints.registry import build_checkpoints
    from agent_orchestrator.runtime.executor import RunExecutor

    concurrency = resources.settings.worker_concurrency
    pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
        resources.database.conninfo,
        min_size=1,
        max_size=concurrency + 2,
        timeout=5.0,
        reconnect_timeout=1.0,
        kwargs={"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row, **CONNECTION},
        configure=give_up_when_frozen,
        check=check_alive,
        open=False,
    )
    async with pool:
        checkpoints = build_checkpoints(resources.settings.checkpoints, pool, resources.redis)
        executor = (make_executor or RunExecutor)(resources, checkpoints)
        resources.jobs.serve(executor.execute)
        options = WorkerOptions(
            concurrency=concurrency,
            lease_s=resources.settings.worker_lease_s,
            drain_s=resources.settings.worker_drain_s,
            is_gone=is_gone,
            on_reclaimed=metrics.run_reclaimed,
            on_stopping=executor.active.drain,
        )
        async with AsyncExitStack() as stack:
            stack.push_async_callback(end_task, asyncio.create_task(executor.active.watch(), name="persevere-watch"))
            worker = await stack.enter_async_context(open_worker(resources.jobs, resources.database.conninfo, options))
            for chore in (_expire(resources), _adopt(resources), sweep_regularly(resources), prune_regularly(resources, checkpoints)):
                stack.push_async_callback(end_task, asyncio.create_task(chore, name="persevere-chore"))
            yield worker


async def _adopt(resources: Resources) -> None:
    """Runs that no job stands for get one: those that run nowhere, and those that wait although there is room."""
    suspects: dict[str, int] = {}
    while True:
        await asyncio.sleep(ADOPT_EVERY_S)
        try:
            async with resources.database.transaction() as tx:
                suspects = await adopt(resources, tx, suspects)
        except Exception as exc:
            suspects = {}
            log.warning("adoption: %s", type(exc).__name__)


async def adopt(resources: Resources, tx: AsyncConnection, suspects: dict[str, int]) -> dict[str, int]:
    """Enqueue the jobless runs among `suspects` (task id and epoch, as an earlier look saw them); the jobless ones of now."""
    await admit_waiting(resources, tx)
    jobless = {run.task_id: run for run in await runs.without_job(tx)}
    for task_id, run in jobless.items():
        if suspects.get(task_id) == run.epoch:
            log.warning("the run of %s had no job", task_id)
            await resources.jobs.enqueue(tx, task_id, priority=run.priority)
    return {task_id: run.epoch for task_id, run in jobless.items()}


async def _expire(resources: Resources) -> None:
    """Approvals that nobody decided in time fail their task with what to do next; nothing happens without an answer."""
    while True:
        try:
            async with resources.database.transaction() as tx:
                await expire_due(tx)
        except Exception as exc:
            log.warning("expiry: %s", type(exc).__name__)
        await asyncio.sleep(EXPIRE_EVERY_S)
