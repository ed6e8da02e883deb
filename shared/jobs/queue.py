"""The job queue: procrastinate on the same database, so that a job is enqueued in the transaction that makes it necessary.

The queue dispatches; the truth is the `runs` row. A job says only "this task may have something to do", so a second one is
harmless: it finds nothing to do. Jobs of one task share a `lock` and never run side by side.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import procrastinate
from procrastinate.jobs import Job
from procrastinate.psycopg_connector import PsycopgConnector
from psycopg_pool import AsyncConnectionPool
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.jobs.manager import RUN_QUEUE, WAKE, FencedJobManager
from shared.jobs.priority import INTERACTIVE
from shared.store.database import CONNECTION, check_alive

RUN_TASK = "persevere.run"
LONGEST_PAUSE_S = 5

RunHandler = Callable[[str], Awaitable[None]]

_HAND_OVER = text(f"""WITH mine AS (SELECT id FROM procrastinate_jobs WHERE lock = :task AND status = 'doing' FOR UPDATE)
SELECT procrastinate_retry_job_v2(id, now(), NULL, NULL, NULL), {WAKE} FROM mine""")


def _pool(**options: Any) -> AsyncConnectionPool[Any]:
    """Every call of the library is one statement, so no transaction is opened around it; that a connection lives is seen on this side."""
    return AsyncConnectionPool(**{**options, "check": check_alive, "kwargs": {**CONNECTION, "autocommit": True}})


class HandOver(procrastinate.BaseRetryStrategy):
    """A run that a shutdown interrupted is handed over at once; one that met an outage is tried again after 1 to 5 s.

    The pause is short because a job that is scheduled for later keeps back the other jobs of its task. A user's cancel is not seen here:
    the run ends well.
    """

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> procrastinate.RetryDecision:
        if isinstance(exception, asyncio.CancelledError):
            return procrastinate.RetryDecision(retry_in={"seconds": 0})
        return procrastinate.RetryDecision(retry_in={"seconds": min(job.attempts + 1, LONGEST_PAUSE_S)})


class JobQueue:
    """Enqueues runs; `app` is what a worker serves. Opened and closed by the worker, not needed open to enqueue.

    `handed_over` counts runs that went on elsewhere.
    """

    def __init__(self, conninfo: str, *, pool_size: int = 4, name: str = "", host: str = "") -> None:
        connector = PsycopgConnector(
            pool_factory=_pool, conninfo=conninfo, min_size=1, max_size=pool_size, timeout=5.0, reconnect_timeout=1.0
        )
        self.app = procrastinate.App(connector=connector)
        self.manager = FencedJobManager(connector, conninfo, name, host)
        self.app.job_manager = self.manager
        self.handed_over = 0
        self._handler: RunHandler | None = None
        self._task: Any = self.app.task(name=RUN_TASK, queue=RUN_QUEUE, retry=HandOver())(self._run)

    def serve(self, handler: RunHandler) -> None:
        """Say what a worker of this process does with a task id."""
        self._handler = handler

    async def _run(self, task_id: str) -> None:
        if self._handler is None:
            raise RuntimeError("this process serves no runs")
        await self._handler(task_id)

    async def enqueue(self, tx: AsyncConnection, task_id: str, *, priority: int = INTERACTIVE) -> None:
        """Ask for a run of the task in the caller's transaction."""
        raw: Any = (await tx.get_raw_connection()).driver_connection
        await self._task.configure(connection=raw, lock=task_id, priority=priority).defer_async(task_id=task_id)

    async def hand_over(self, tx: AsyncConnection, task_id: str) -> None:
        """Give the task's running job back in the caller's transaction, which holds the task's lease; others hear of it at the commit."""
        if not (await tx.execute(_HAND_OVER, {"task": task_id})).all():
            await self.enqueue(tx, task_id)
        self.handed_over += 1
