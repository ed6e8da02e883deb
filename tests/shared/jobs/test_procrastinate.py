"""What the library does by itself: each behaviour that made one of our additions necessary. A red test here: an addition may go."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator
from typing import Any

import procrastinate
import psycopg
import pytest
from procrastinate.jobs import Status
from procrastinate.psycopg_connector import PsycopgConnector
from procrastinate.worker import Worker

SLEEPER = """import asyncio, sys, procrastinate
app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=sys.argv[1]))
@app.task(name="sleep")
async def sleep():
    print("began", flush=True)
    await asyncio.sleep(60)
async def main():
    async with app.open_async():
        await sleep.defer_async()
        await app.run_worker_async(update_heartbeat_interval=0.2, install_signal_handlers=False)
asyncio.run(main())
"""


@pytest.fixture
async def app(postgres_url: str) -> AsyncIterator[procrastinate.App]:
    opened = procrastinate.App(connector=PsycopgConnector(conninfo=postgres_url))
    async with opened.open_async():
        yield opened


def _statuses(url: str) -> list[str]:
    with psycopg.connect(url) as connection:
        return [row[0] for row in connection.execute("SELECT status::text FROM procrastinate_jobs ORDER BY id")]


async def _work(app: procrastinate.App, seconds: float, **options: Any) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await app.run_worker_async(install_signal_handlers=False, fetch_job_polling_interval=0.2, **options)


async def test_a_killed_workers_job_is_never_taken_over(app: procrastinate.App, postgres_url: str) -> None:
    process = subprocess.Popen([sys.executable, "-c", SLEEPER, postgres_url], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert await asyncio.to_thread(process.stdout.readline) == b"began\n"
    process.kill()
    process.wait()
    process.stdout.close()
    await asyncio.sleep(0.5)
    await _work(app, 2, stalled_worker_timeout=0.3)
    assert _statuses(postgres_url) == ["doing"]


async def test_a_blocked_loop_makes_a_live_job_look_dead(app: procrastinate.App) -> None:
    seen: list[int] = []

    @app.task(name="block")
    async def block() -> None:
        def look() -> None:
            time.sleep(1)
            seen.append(len(list(asyncio.run(_stalled(app.connector)))))

        looking = threading.Thread(target=look)
        looking.start()
        time.sleep(1.5)  # noqa: ASYNC251
        looking.join()

    await block.defer_async()
    await _work(app, 3, update_heartbeat_interval=0.1, wait=False)
    assert seen == [1]


async def _stalled(connector: Any) -> Any:
    other = procrastinate.App(connector=PsycopgConnector(**connector._pool_args))
    async with other.open_async():
        return await other.job_manager.get_stalled_jobs(seconds_since_heartbeat=0.5)


async def test_an_old_owner_ends_the_job_of_its_successor(app: procrastinate.App, postgres_url: str) -> None:
    @app.task(name="nothing")
    async def nothing() -> None: ...

    await nothing.defer_async()
    first, second = await app.job_manager.register_worker(), await app.job_manager.register_worker()
    old = await app.job_manager.fetch_job(None, first)
    assert old is not None
    await app.job_manager.retry_job(old)
    new = await app.job_manager.fetch_job(None, second)
    assert new is not None
    assert new.worker_id == second
    await app.job_manager.finish_job(old, Status.SUCCEEDED, delete_job=False)
    assert _statuses(postgres_url) == ["succeeded"]


async def test_a_job_whose_grace_period_ran_out_is_lost(app: procrastinate.App, postgres_url: str) -> None:
    began = asyncio.Event()

    @app.task(name="long")
    async def long() -> None:
        began.set()
        await asyncio.sleep(60)

    await long.defer_async()
    worker = Worker(app, install_signal_handlers=False, shutdown_graceful_timeout=0.1)
    running = asyncio.create_task(worker.run())  # type: ignore[no-untyped-call]
    await began.wait()
    worker.stop()  # type: ignore[no-untyped-call]
    await running
    assert _statuses(postgres_url) == ["aborted"]


async def test_a_job_for_later_keeps_back_one_for_now(app: procrastinate.App, postgres_url: str) -> None:
    @app.task(name="nothing")
    async def nothing() -> None: ...

    await nothing.configure(lock="task", schedule_in={"hours": 1}).defer_async()
    await nothing.configure(lock="task").defer_async()
    await _work(app, 1, wait=False)
    assert _statuses(postgres_url) == ["todo", "todo"]
