"""procrastinate's own writes, made safe: fenced by owner and attempt, and patient while the database is away.

The library finishes a job by its id alone, so a worker that was thought dead would end the job of its successor; and its loop ends,
aborting what runs, when one statement fails.
"""

from __future__ import annotations

import asyncio
import datetime
import json
import logging
from collections.abc import Iterable
from typing import Any

import psycopg
from procrastinate import exceptions, jobs
from procrastinate.connector import BaseAsyncConnector
from procrastinate.manager import JobManager, NotificationCallback

from shared.store.database import connect

log = logging.getLogger(__name__)

RUN_QUEUE = "runs"
CHANNEL = f"procrastinate_queue_v1#{RUN_QUEUE}"
PAUSE_S = 0.5
"""Between two attempts while the database is away."""

_MINE = """WITH mine AS (
    SELECT id, lock FROM procrastinate_jobs
    WHERE id = %(job)s AND status = 'doing' AND worker_id = %(worker)s AND attempts = %(attempts)s FOR UPDATE
)"""
WAKE = f'pg_notify(\'{CHANNEL}\', \'{{"type": "job_inserted", "job_id": 0}}\')'
"""What tells idle workers to look; the library does so for a new job only, not for one that became free."""
_FINISH = f"""{_MINE}
SELECT procrastinate_finish_job_v1(id, %(status)s::procrastinate_job_status, %(delete)s),
    CASE WHEN EXISTS (SELECT 1 FROM procrastinate_jobs later WHERE later.lock = mine.lock AND later.status = 'todo') THEN {WAKE} END
FROM mine"""
_RETRY = f"""{_MINE}
SELECT procrastinate_retry_job_v2(id, %(at)s, NULL, NULL, NULL), CASE WHEN %(at)s::timestamptz <= now() THEN {WAKE} END FROM mine"""


class FencedJobManager(JobManager):
    """`held` are the ids of the jobs this process works on. `name` and `host` say who it is."""

    def __init__(self, connector: BaseAsyncConnector, conninfo: str, name: str = "", host: str = "") -> None:
        super().__init__(connector)
        self._conninfo = conninfo
        self.name, self.host = name, host
        self.held: set[int] = set()

    async def fetch_job(self, queues: Iterable[str] | None, worker_id: int) -> jobs.Job | None:
        """None also while the database is away: the worker looks again soon."""
        try:
            job = await super().fetch_job(queues, worker_id)
        except exceptions.ConnectorException as error:
            log.warning("no jobs can be fetched: %s", type(error.__cause__ or error).__name__)
            await asyncio.sleep(PAUSE_S)
            return None
        if job is not None and job.id is not None:
            self.held.add(job.id)
        return job

    async def finish_job(self, job: jobs.Job, status: jobs.Status, delete_job: bool) -> None:
        await self._settle(job, _FINISH, status=status.value, delete=delete_job)

    async def retry_job(
        self,
        job: jobs.Job,
        retry_at: datetime.datetime | None = None,
        priority: int | None = None,
        queue: str | None = None,
        lock: str | None = None,
    ) -> None:
        """Give the job back, as it is; `priority`, `queue` and `lock` cannot be changed here."""
        await self._settle(job, _RETRY, at=retry_at or datetime.datetime.now(datetime.UTC))

    async def _settle(self, job: jobs.Job, query: Any, **values: Any) -> None:
        """One write. When it fails the job stays ours without being worked on, and the audit gives it back."""
        try:
            done = await self.connector.execute_query_all_async(query, job=job.id, worker=job.worker_id, attempts=job.attempts, **values)
        except exceptions.ConnectorException as error:
            log.warning("the end of job %s could not be stored: %s", job.id, type(error.__cause__ or error).__name__)
            return
        finally:
            self.held.discard(job.id or 0)
        if not done:
            log.info("job %s had been settled or given to another worker", job.id)

    async def register_worker(self) -> int:
        """A worker of the library, and who and where it is."""
        worker_id = await super().register_worker()
        await self.connector.execute_query_async(
            "INSERT INTO workers (id, name, host) VALUES (%(id)s, %(name)s, %(host)s) ON CONFLICT (id) DO NOTHING",
            id=worker_id,
            name=self.name,
            host=self.host,
        )
        return worker_id

    async def update_heartbeat(self, worker_id: int) -> None:
        """Nothing: a heartbeat on the event loop stops when the loop is blocked and ends the loop when it fails."""

    async def prune_stalled_workers(self, seconds_since_heartbeat: float) -> list[int]:
        """Nothing: after an outage everybody looks stalled, and a pruned worker's jobs look like nobody's."""
        return []

    async def listen_for_jobs(self, *, on_notification: NotificationCallback, queues: Iterable[str] | None = None) -> None:
        """Listen until cancelled, connecting again as often as needed. What is missed meanwhile is found by polling."""
        while True:
            try:
                async with await connect(self._conninfo, application_name="persevere jobs", autocommit=True) as connection:
                    await connection.execute(f'LISTEN "{CHANNEL}"'.encode())
                    async for notice in connection.notifies():
                        await on_notification(channel=notice.channel, notification=json.loads(notice.payload))
            except psycopg.OperationalError as error:
                log.warning("not listening for jobs: %s", type(error).__name__)
            await asyncio.sleep(PAUSE_S)
