"""The runs that go on in this process, watched from one place: cancelled by a person, lost to another worker, told to drain."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass, field
from typing import Any, Literal

from langgraph.runtime import RunControl

from agent_orchestrator.runtime.lease import Lease
from shared.store import runs
from shared.store.database import Database

log = logging.getLogger(__name__)

LOOK_EVERY_S = 0.2
"""How soon a cancel is noticed; one small query for all runs of the process."""
Stop = Literal["cancelled", "lost"]


@dataclass
class ActiveRun:
    """`stopped_by` says why `work` was cancelled, if we did it."""

    lease: Lease
    control: RunControl = field(default_factory=RunControl)
    work: asyncio.Task[Any] | None = None
    stopped_by: Stop | None = None

    def stop(self, reason: Stop) -> None:
        if self.stopped_by is None and self.work is not None and not self.work.done():
            self.stopped_by = reason
            self.work.cancel()


class ActiveRuns:
    def __init__(self, database: Database) -> None:
        self._database = database
        self._runs: dict[str, ActiveRun] = {}
        self._draining = False
        self._news = asyncio.Event()

    def add(self, run: ActiveRun) -> None:
        self._runs[run.lease.task_id] = run
        self._news.set()
        if self._draining:
            run.control.request_drain()

    def remove(self, run: ActiveRun) -> None:
        if self._runs.get(run.lease.task_id) is run:
            del self._runs[run.lease.task_id]

    def drain(self) -> None:
        """Every run ends after the step it is in and is handed over."""
        self._draining = True
        for run in self._runs.values():
            run.control.request_drain()

    async def watch(self) -> None:
        """Until cancelled: stop the work of runs that were cancelled or that another worker has taken over."""
        while True:
            if not self._runs:
                self._news.clear()
                await self._news.wait()
            await asyncio.sleep(LOOK_EVERY_S)
            looked_at = dict(self._runs)
            if not looked_at:
                continue
            try:
                async with self._database.connection() as connection:
                    held = await runs.held(connection, {task_id: run.lease.epoch for task_id, run in looked_at.items()})
            except Exception as error:
                log.warning("cancels cannot be seen: %s", type(error).__name__)
                await asyncio.sleep(1)
                continue
            for task_id, run in looked_at.items():
                if task_id not in held:
                    run.stop("lost")
                elif held[task_id]:
                    run.stop("cancelled")
