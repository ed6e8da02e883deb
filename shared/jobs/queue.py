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
from sqlalchemy.ext.asyncio import AsyncConnection

RUN_QUEUE = "runs"
RUN_TASK = "persevere.run"
INTERACTIVE = 10
BATCH = 0

RunHandler = Callable[[str], Awaitable[None]]


class HandOver(procrastinate.BaseRetryStrategy):
    """An interrupted run is handed over at once; one that met an outage is tried again with growing pauses (2 to 30 s)."""

    def get_retry_decision(self, *, exception: BaseException, job: Job) -> procrastinate.RetryDecision:
        if isinstance(exception, asyncio.CancelledError):
            return procrastinate.RetryDecision(retry_in={"seconds": 0})
        return procrastinate.RetryDecision(retry_in={"seconds": min(2 ** min(job.attempts + 1, 5), 30)})


class JobQueue:
    """Enqueues runs; `app` is what a worker serves. Opened and closed by the worker, not needed open to enqueue."""

    def __init__(self, conninfo: str, *, pool_size: int = 4) -> None:
        self.app = procrastinate.App(connector=PsycopgConnector(conninfo=conninfo, min_size=1, max_size=pool_size))
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
