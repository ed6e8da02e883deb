"""A worker: procrastinate's loop with a heartbeat on a thread of its own and a reaper for what dead workers left."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

from procrastinate.worker import Worker

from shared.background import end_task
from shared.jobs.heartbeat import Heartbeat, Patience, end_process
from shared.jobs.manager import RUN_QUEUE
from shared.jobs.queue import JobQueue
from shared.jobs.reaper import Reaper

log = logging.getLogger(__name__)

REPEAT_S = 5.0
"""Between two interruptions of a job that goes on: it gets time to hand itself over."""


def nobody_is_gone(host: str | None, name: str | None) -> bool:
    return False


@dataclass(frozen=True)
class WorkerOptions:
    """Times in seconds. `is_gone(host, name)` is true only for a process known to be dead."""

    concurrency: int
    lease_s: float = 10.0
    drain_s: float = 20.0
    patience: Patience = field(default_factory=Patience)
    is_gone: Callable[[str | None, str | None], bool] = nobody_is_gone
    on_reclaimed: Callable[[], None] = lambda: None
    on_stopping: Callable[[], None] = lambda: None
    """Called when no more jobs are fetched: the running ones may end early and hand themselves over."""
    on_hung: Callable[[], None] = end_process


@dataclass
class JobWorker:
    """A running worker."""

    worker: Worker
    loop_task: asyncio.Task[None]
    reclaimed: int = 0
    _cut: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def is_alive(self) -> bool:
        return not self.loop_task.done()

    @property
    def running(self) -> int:
        """How many jobs run in it."""
        return len(self.worker._running_jobs)

    def cut(self) -> None:
        """While it drains: wait no longer, what still runs is interrupted and handed over."""
        self._cut.set()


@contextlib.asynccontextmanager
async def open_worker(queue: JobQueue, conninfo: str, options: WorkerOptions) -> AsyncIterator[JobWorker]:
    """Serve runs until the context ends; then let running ones finish for `drain_s` seconds and hand the others over."""
    async with queue.app.open_async():
        worker = Worker(
            queue.app,
            queues=[RUN_QUEUE],
            concurrency=options.concurrency,
            install_signal_handlers=False,
            fetch_job_polling_interval=1.0,
            abort_job_polling_interval=3600.0,
            update_heartbeat_interval=3600.0,
            delete_jobs="successful",
        )
        beat = Patience(min(options.patience.every_s, options.lease_s / 4), options.patience.silent_s, options.patience.end_s)
        heartbeat = Heartbeat(conninfo, lambda: worker.worker_id, asyncio.get_running_loop(), beat, options.on_hung)
        stopping = asyncio.Event()
        running = JobWorker(worker, asyncio.create_task(_serve(worker, stopping), name="persevere-worker"))

        def reclaimed() -> None:
            running.reclaimed += 1
            options.on_reclaimed()

        reaper = Reaper(queue.manager, lambda: worker.worker_id, lease_s=options.lease_s, is_gone=options.is_gone, on_reclaimed=reclaimed)
        reaping = asyncio.create_task(reaper.run(), name="persevere-reaper")
        heartbeat.start()
        try:
            yield running
        finally:
            await end_task(reaping)
            stopping.set()
            await _drain(running, options)
            heartbeat.stop()
            await asyncio.to_thread(heartbeat.join, 5.0)


async def _drain(running: JobWorker, options: WorkerOptions) -> None:
    """Fetch nothing more and wait for what runs; after `drain_s`, or when cut, interrupt it. Goes through whatever cancels us meanwhile."""
    loop = asyncio.get_running_loop()
    deadline = loop.time() + options.drain_s
    cancelled: asyncio.CancelledError | None = None
    interrupted: dict[asyncio.Task[object], float] = {}
    options.on_stopping()
    while not running.loop_task.done():
        running.worker.stop()  # type: ignore[no-untyped-call]
        if running._cut.is_set() or loop.time() >= deadline:
            for job in list(running.worker._running_jobs):
                if interrupted.get(job, -REPEAT_S) + REPEAT_S <= loop.time():
                    interrupted[job] = loop.time()
                    job.cancel()
        try:
            await asyncio.wait([running.loop_task], timeout=0.2)
        except asyncio.CancelledError as error:
            cancelled = error
            running.cut()
    if cancelled is not None:
        raise cancelled


async def _serve(worker: Worker, stopping: asyncio.Event) -> None:
    """Start the loop again should it end by itself; a wanted stop ends it for good."""
    while not stopping.is_set():
        try:
            await worker.run()  # type: ignore[no-untyped-call]
        except Exception as exc:
            log.warning("worker loop ended: %s", type(exc).__name__)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stopping.wait(), 1.0)
