"""The worker of a process: jobs, the executor, and taking over what dead processes of this machine left."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from agent_orchestrator.runtime.endings import expire_due
from agent_orchestrator.runtime.host import is_gone
from shared import metrics
from shared.background import end_task
from shared.jobs.queue import INTERACTIVE
from shared.jobs.worker import JobWorker, open_worker
from shared.store import runs

if TYPE_CHECKING:
    from agent_orchestrator.resources import Resources

log = logging.getLogger(__name__)

EXPIRE_EVERY_S = 30.0


@contextlib.asynccontextmanager
async def open_run_worker(resources: Resources) -> AsyncIterator[JobWorker]:
    """Serve this database's runs until the context ends."""
    from psycopg.rows import dict_row
    from psycopg_pool import AsyncConnectionPool

    from agent_orchestrator.runtime.checkpoints.registry import build_checkpoints
    from agent_orchestrator.runtime.executor import RunExecutor

    concurrency = resources.settings.worker_concurrency
    pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
        resources.database.conninfo,
        min_size=1,
        max_size=concurrency + 2,
        kwargs={"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row},
        open=False,
    )
    async with pool:
        executor = RunExecutor(resources, build_checkpoints(resources.settings.checkpoints, pool, resources.redis))
        resources.jobs.serve(executor.execute)
        await reclaim_from_dead(resources)
        async with open_worker(
            resources.jobs, resources.database.conninfo, concurrency=concurrency, on_reclaimed=metrics.run_reclaimed
        ) as worker:
            expiry = asyncio.create_task(_expire(resources), name="persevere-expiry")
            try:
                yield worker
            finally:
                await end_task(expiry)


async def reclaim_from_dead(resources: Resources) -> int:
    """Give back at once what processes of this machine held that are gone; the reaper needs 10 s to be sure of others."""
    count = 0
    async with resources.database.transaction() as tx:
        for run in await runs.stale(tx, 0.0):
            if not is_gone(run.worker_host, run.worker):
                continue
            count += 1
            metrics.run_reclaimed()
            await tx.execute(_GIVE_BACK, {"lock": run.task_id})
            await resources.jobs.enqueue(tx, run.task_id, priority=INTERACTIVE)
    return count


_GIVE_BACK = text(
    "SELECT procrastinate_retry_job_v2(id, now(), NULL, NULL, NULL) FROM procrastinate_jobs WHERE status = 'doing' AND lock = :lock"
)


async def _expire(resources: Resources) -> None:
    """Approvals that nobody decided in time fail their task with what to do next; nothing happens without an answer."""
    while True:
        try:
            async with resources.database.transaction() as tx:
                await expire_due(tx)
        except Exception as exc:
            log.warning("expiry: %s", type(exc).__name__)
        await asyncio.sleep(EXPIRE_EVERY_S)
