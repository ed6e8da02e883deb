"""A worker: procrastinate's loop with a heartbeat on a thread of its own and a reaper for what dead workers left."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import psycopg
from procrastinate.worker import Worker

from shared.background import end_task
from shared.jobs.queue import RUN_QUEUE, JobQueue

log = logging.getLogger(__name__)

HEARTBEAT_S = 2.0
STALLED_AFTER_S = 10.0
REAP_EVERY_S = 2.0


class Heartbeat(threading.Thread):
    """Keeps the worker's row alive however long the event loop is blocked. Ends with `stop()`."""

    def __init__(self, conninfo: str, worker: Worker) -> None:
        super().__init__(name="persevere-heartbeat", daemon=True)
        self._conninfo, self._worker, self._stopped = conninfo, worker, threading.Event()

    def stop(self) -> None:
        self._stopped.set()

    def run(self) -> None:
        while not self._stopped.is_set():
            try:
                with psycopg.connect(self._conninfo, autocommit=True, connect_timeout=5) as connection:
                    while not self._stopped.wait(HEARTBEAT_S):
                        if self._worker.worker_id is not None:
                            connection.execute(
                                "UPDATE procrastinate_workers SET last_heartbeat = now() WHERE id = %s", (self._worker.worker_id,)
                            )
            except psycopg.Error:
                self._stopped.wait(1.0)


@dataclass
class JobWorker:
    """A running worker; `reclaimed` counts jobs taken from dead workers."""

    worker: Worker
    loop_task: asyncio.Task[None]
    reclaimed: int = 0

    @property
    def is_alive(self) -> bool:
        return not self.loop_task.done()


@contextlib.asynccontextmanager
async def open_worker(
    queue: JobQueue, conninfo: str, *, concurrency: int, drain_s: float = 10.0, on_reclaimed: Callable[[], None] = lambda: None
) -> AsyncIterator[JobWorker]:
    """Serve runs until the context ends; then let running ones finish for `drain_s` seconds and hand the others over.

    `on_reclaimed` is called for every job taken from a dead worker.
    """
    async with queue.app.open_async():
        worker = Worker(
            queue.app,
            queues=[RUN_QUEUE],
            concurrency=concurrency,
            install_signal_handlers=False,
            fetch_job_polling_interval=1.0,
            update_heartbeat_interval=HEARTBEAT_S,
            stalled_worker_timeout=STALLED_AFTER_S,
            shutdown_graceful_timeout=drain_s,
        )
        heartbeat = Heartbeat(conninfo, worker)
        stopping = asyncio.Event()
        running = JobWorker(worker, asyncio.create_task(_serve(worker, stopping), name="persevere-worker"))
        reaper = asyncio.create_task(_reap(queue, running, on_reclaimed), name="persevere-reaper")
        heartbeat.start()
        try:
            yield running
        finally:
            await end_task(reaper)
            stopping.set()
            await _stop(running)
            heartbeat.stop()
            await asyncio.to_thread(heartbeat.join, 5.0)


async def _stop(running: JobWorker) -> None:
    """Ask until it stops: a worker that is just starting forgets what it was asked before."""
    while not running.loop_task.done():
        running.worker.stop()  # type: ignore[no-untyped-call]
        await asyncio.wait([running.loop_task], timeout=0.2)


async def _serve(worker: Worker, stopping: asyncio.Event) -> None:
    """Start the loop again when an outage of the database ended it; a wanted stop ends it for good."""
    while not stopping.is_set():
        try:
            await worker.run()  # type: ignore[no-untyped-call]
        except Exception as exc:
            log.warning("worker loop ended: %s", type(exc).__name__)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), 1.0)


async def _reap(queue: JobQueue, running: JobWorker, on_reclaimed: Callable[[], None]) -> None:
    """Every 2 s give the jobs of dead workers back, except right after an outage, when live workers look dead too."""
    quiet_until = time.monotonic()
    while True:
        try:
            if time.monotonic() >= quiet_until:
                for job in await queue.app.job_manager.get_stalled_jobs(seconds_since_heartbeat=STALLED_AFTER_S, queue=RUN_QUEUE):
                    await queue.app.job_manager.retry_job(job)
                    running.reclaimed += 1
                    on_reclaimed()
        except Exception as exc:
            log.warning("reaper: %s", type(exc).__name__)
            quiet_until = time.monotonic() + STALLED_AFTER_S
        await asyncio.sleep(REAP_EVERY_S)
