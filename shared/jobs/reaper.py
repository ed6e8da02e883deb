"""Gives back what dead workers were doing, and what this one holds without working on it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

from shared.jobs.manager import RUN_QUEUE, WAKE, FencedJobManager

log = logging.getLogger(__name__)

REAP_EVERY_S = 2.0

_OWNERS = f"""SELECT job.worker_id AS id, owner.last_heartbeat AS heartbeat, known.name, known.host
FROM (SELECT DISTINCT worker_id FROM procrastinate_jobs WHERE status = 'doing' AND queue_name = '{RUN_QUEUE}') job
LEFT JOIN procrastinate_workers owner ON owner.id = job.worker_id LEFT JOIN workers known ON known.id = job.worker_id"""
_GIVE_BACK = f"""WITH dead AS (
    SELECT job.id FROM procrastinate_jobs job LEFT JOIN procrastinate_workers owner ON owner.id = job.worker_id
    WHERE job.status = 'doing' AND job.queue_name = '{RUN_QUEUE}' AND job.worker_id IS NOT DISTINCT FROM %(worker)s
        AND owner.last_heartbeat IS NOT DISTINCT FROM %(heartbeat)s
    FOR UPDATE OF job SKIP LOCKED
) SELECT dead.id, procrastinate_retry_job_v2(dead.id, now(), NULL, NULL, NULL), {WAKE} FROM dead"""
_MINE = "SELECT id FROM procrastinate_jobs WHERE status = 'doing' AND worker_id = %(worker)s"
_LET_GO = f"""WITH mine AS (
    SELECT id FROM procrastinate_jobs WHERE status = 'doing' AND worker_id = %(worker)s AND id = ANY(%(jobs)s) FOR UPDATE
) SELECT mine.id, procrastinate_retry_job_v2(mine.id, now(), NULL, NULL, NULL), {WAKE} FROM mine"""
_FORGET = """DELETE FROM procrastinate_workers owner WHERE last_heartbeat < now() - interval '1 hour'
AND NOT EXISTS (SELECT 1 FROM procrastinate_jobs job WHERE job.status = 'doing' AND job.worker_id = owner.id)"""
_FORGET_NAMES = "DELETE FROM workers WHERE NOT EXISTS (SELECT 1 FROM procrastinate_workers owner WHERE owner.id = workers.id)"
Row = dict[str, Any]


class Reaper:
    """A worker is dead when its process is known to be gone, or when we, connected all the while, saw no heartbeat for `lease_s`.

    What was seen before an outage, or before a stop of this process, does not count: right after it live workers look dead too.
    """

    def __init__(
        self,
        manager: FencedJobManager,
        worker_id: Callable[[], int | None],
        *,
        lease_s: float,
        is_gone: Callable[[str | None, str | None], bool],
        on_reclaimed: Callable[[], None],
    ) -> None:
        self._manager, self._worker_id, self._lease_s = manager, worker_id, lease_s
        self._is_gone, self._on_reclaimed = is_gone, on_reclaimed
        self._seen: dict[int | None, tuple[Any, float]] = {}
        self._suspects: set[int] = set()
        self._looked_at = time.monotonic()

    async def run(self) -> None:
        """Look every 2 s until cancelled."""
        turn = 0
        while True:
            try:
                await self.look()
                if turn % 300 == 0:
                    await self._execute(_FORGET)
                    await self._execute(_FORGET_NAMES)
                turn += 1
            except Exception as error:
                log.warning("reaper: %s", type(error.__cause__ or error).__name__)
                self._forget()
            await asyncio.sleep(REAP_EVERY_S)

    async def look(self) -> int:
        """How many jobs were given back."""
        now = time.monotonic()
        if now - self._looked_at > 3 * REAP_EVERY_S:
            self._forget()
        self._looked_at = now
        owners = await self._execute(_OWNERS)
        self._seen = {row["id"]: self._since(row, now) for row in owners}
        count = await self._audit()
        for row in owners:
            if row["id"] is not None and row["id"] == self._worker_id():
                continue
            if self._is_gone(row["host"], row["name"]) or now - self._seen[row["id"]][1] >= self._lease_s:
                given = await self._execute(_GIVE_BACK, worker=row["id"], heartbeat=row["heartbeat"])
                for _ in given:
                    self._on_reclaimed()
                count += len(given)
        return count

    def _forget(self) -> None:
        self._seen, self._suspects = {}, set()

    def _since(self, row: Row, now: float) -> tuple[Any, float]:
        known = self._seen.get(row["id"])
        return known if known is not None and known[0] == row["heartbeat"] else (row["heartbeat"], now)

    async def _audit(self) -> int:
        """Give back jobs that are ours without being worked on, seen twice: their end, or the answer to a fetch, was lost."""
        worker_id = self._worker_id()
        if worker_id is None:
            return 0
        unworked = {row["id"] for row in await self._execute(_MINE, worker=worker_id)} - self._manager.held
        lost, self._suspects = unworked & self._suspects, unworked
        return len(await self._execute(_LET_GO, worker=worker_id, jobs=list(lost))) if lost else 0

    async def _execute(self, query: Any, **values: Any) -> list[Row]:
        """The rows; an empty list for a statement that has none."""
        if query in (_FORGET, _FORGET_NAMES):
            await self._manager.connector.execute_query_async(query, **values)
            return []
        return await self._manager.connector.execute_query_all_async(query, **values)
