"""What we added to the library, each with a worker on a real database."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import psycopg
import pytest
from procrastinate.jobs import Status

from shared.jobs.heartbeat import Heartbeat, Patience
from shared.jobs.priority import BATCH, INTERACTIVE
from shared.jobs.queue import JobQueue
from shared.jobs.reaper import Reaper
from shared.jobs.worker import JobWorker, WorkerOptions, open_worker
from shared.store.database import Database


@pytest.fixture
def queue(postgres_url: str) -> JobQueue:
    return JobQueue(postgres_url, name="1-1", host="here")


async def _enqueue(database: Database, queue: JobQueue, *tasks: str, priority: int = INTERACTIVE) -> None:
    async with database.transaction() as tx:
        for task in tasks:
            await queue.enqueue(tx, task, priority=priority)


async def _ask(url: str, query: str) -> list[tuple[object, ...]]:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        return await (await connection.execute(query.encode())).fetchall()


async def _until(done: Callable[[], Awaitable[bool]], limit_s: float = 10) -> None:
    async with asyncio.timeout(limit_s):
        while not await done():
            await asyncio.sleep(0.02)


@contextlib.asynccontextmanager
async def _serving(queue: JobQueue, url: str, options: WorkerOptions, work: Callable[[str], Awaitable[None]]) -> AsyncIterator[JobWorker]:
    queue.serve(work)
    async with open_worker(queue, url, options) as worker:
        yield worker


async def test_interactive_before_batch_and_one_job_a_task(database: Database, queue: JobQueue, postgres_url: str) -> None:
    order: list[str] = []
    now = 0

    async def work(task: str) -> None:
        nonlocal now
        now += 1
        assert task != "same" or order.count("running") == 0
        order.append("running" if task == "same" else task)
        await asyncio.sleep(0.05)
        if task == "same":
            order.remove("running")
        now -= 1

    await _enqueue(database, queue, "batch1", "batch2", priority=BATCH)
    await _enqueue(database, queue, "same", "same", "first", "second")
    async with _serving(queue, postgres_url, WorkerOptions(1), work):
        await _until(lambda: _empty(postgres_url))
    assert order == ["first", "second", "batch1", "batch2"]
    await _enqueue(database, queue, "same", "same", "same", "other")
    async with _serving(queue, postgres_url, WorkerOptions(4), work):
        await _until(lambda: _empty(postgres_url))


async def _empty(url: str) -> bool:
    return not await _ask(url, "SELECT 1 FROM procrastinate_jobs")


async def test_a_freed_lock_wakes_who_waited_for_it(database: Database, queue: JobQueue, postgres_url: str) -> None:
    times: list[float] = []

    async def work(_: str) -> None:
        times.append(time.monotonic())
        await asyncio.sleep(0.2)

    async with _serving(queue, postgres_url, WorkerOptions(4), work):
        await asyncio.sleep(0.3)
        await _enqueue(database, queue, "same", "same", "same", "same")
        await _until(lambda: _empty(postgres_url))
    assert times[-1] - times[0] < 1.0


async def test_an_old_owner_settles_nothing(database: Database, queue: JobQueue, postgres_url: str) -> None:
    await _enqueue(database, queue, "task")
    async with queue.app.open_async():
        manager = queue.manager
        first, second = await manager.register_worker(), await manager.register_worker()
        old = await manager.fetch_job(["runs"], first)
        assert old is not None
        await manager.retry_job(old)
        new = await manager.fetch_job(["runs"], second)
        assert new is not None
        await manager.finish_job(old, Status.SUCCEEDED, delete_job=False)
        await manager.retry_job(old)
        assert await _ask(postgres_url, "SELECT status::text, worker_id FROM procrastinate_jobs") == [("doing", second)]
        await manager.finish_job(new, Status.SUCCEEDED, delete_job=True)
        assert await _empty(postgres_url)


async def test_a_worker_is_dead_only_when_we_saw_nothing_of_it_for_its_lease(
    database: Database, queue: JobQueue, postgres_url: str
) -> None:
    reclaimed: list[int] = []
    await _enqueue(database, queue, "task")
    async with queue.app.open_async():
        worker = await queue.manager.register_worker()
        assert await queue.manager.fetch_job(["runs"], worker) is not None
        await _ask(postgres_url, "UPDATE procrastinate_workers SET last_heartbeat = now() - interval '1 hour' RETURNING 1")
        reaper = _reaper(queue, 1.0, reclaimed)
        assert await reaper.look() == 0, "an old heartbeat alone says nothing: the database may have been away"
        await asyncio.sleep(0.7)
        await _ask(postgres_url, "UPDATE procrastinate_workers SET last_heartbeat = now() RETURNING 1")
        assert await reaper.look() == 0
        await asyncio.sleep(0.7)
        reaper._forget()
        assert await reaper.look() == 0, "what was seen before an outage does not count"
        await asyncio.sleep(1.1)
        assert await reaper.look() == 1
        assert await reaper.look() == 0
    assert reclaimed == [1]
    assert await _ask(postgres_url, "SELECT status::text FROM procrastinate_jobs") == [("todo",)]


def _reaper(queue: JobQueue, lease_s: float, reclaimed: list[int], worker_id: int | None = None) -> Reaper:
    return Reaper(
        queue.manager,
        lambda: worker_id,
        lease_s=lease_s,
        is_gone=lambda host, name: (host, name) == ("here", "gone"),
        on_reclaimed=lambda: reclaimed.append(1),
    )


async def test_a_worker_whose_process_is_gone_is_dead_at_once(database: Database, queue: JobQueue, postgres_url: str) -> None:
    await _enqueue(database, queue, "task")
    async with queue.app.open_async():
        worker = await queue.manager.register_worker()
        assert await queue.manager.fetch_job(["runs"], worker) is not None
        assert await _reaper(queue, 60, []).look() == 0
        await _ask(postgres_url, "UPDATE workers SET name = 'gone' RETURNING 1")
        assert await _reaper(queue, 60, []).look() == 1


async def test_a_job_of_ours_that_nobody_works_on_is_given_back(database: Database, queue: JobQueue, postgres_url: str) -> None:
    await _enqueue(database, queue, "lost", "held")
    async with queue.app.open_async():
        worker = await queue.manager.register_worker()
        lost = await queue.manager.fetch_job(["runs"], worker)
        assert await queue.manager.fetch_job(["runs"], worker) is not None
        assert lost is not None
        queue.manager.held.discard(lost.id or 0)
        reaper = _reaper(queue, 60, [], worker)
        assert await reaper.look() == 0, "seen once it may only just have been fetched"
        assert await reaper.look() == 1
        assert await _ask(postgres_url, "SELECT lock FROM procrastinate_jobs WHERE status = 'todo'") == [("lost",)]


async def test_the_heart_beats_while_the_loop_is_blocked(queue: JobQueue, postgres_url: str) -> None:
    beat = "SELECT max(last_heartbeat) FROM procrastinate_workers"
    async with open_worker(queue, postgres_url, WorkerOptions(1, lease_s=2)) as worker:
        await asyncio.sleep(1)
        assert worker.worker.worker_id is not None
        before = (await _ask(postgres_url, beat))[0][0]
        time.sleep(1.5)  # noqa: ASYNC251
        with psycopg.connect(postgres_url) as connection:
            after = connection.execute(beat.encode()).fetchone()
    assert after is not None
    assert after[0] > before


async def test_a_hung_loop_falls_silent_and_ends_its_process(postgres_url: str) -> None:
    ended: list[float] = []
    heart = Heartbeat(postgres_url, lambda: 7, asyncio.get_running_loop(), Patience(0.1, 0.5, 1.0), lambda: ended.append(time.monotonic()))
    heart.start()
    await asyncio.sleep(0.5)
    began = time.monotonic()
    time.sleep(2)  # noqa: ASYNC251
    with psycopg.connect(postgres_url) as connection:
        silent = connection.execute(
            "SELECT now() - last_heartbeat > interval '1 second' FROM procrastinate_workers WHERE id = 7"
        ).fetchone()
    heart.stop()
    await asyncio.to_thread(heart.join)
    assert silent == (True,)
    assert 0.8 < ended[0] - began < 1.6


async def test_work_goes_on_through_an_outage(
    database: Database, queue: JobQueue, postgres_url: str, make_postgres_url: Callable[[], str]
) -> None:
    """Nobody can connect for 4 s: what runs is not interrupted, and what was enqueued before is done afterwards, once."""
    done: list[str] = []
    interrupted: list[str] = []

    async def work(task: str) -> None:
        try:
            await asyncio.sleep(5 if task == "long" else 0.1)
        except asyncio.CancelledError:
            interrupted.append(task)
            raise
        done.append(task)

    elsewhere, name = make_postgres_url(), postgres_url.rpartition("/")[2].partition("?")[0]
    async with _serving(queue, postgres_url, WorkerOptions(2, lease_s=2, drain_s=1), work):
        await _enqueue(database, queue, "long")
        await asyncio.sleep(0.5)
        await _forbid(elsewhere, name, allowed=False)
        await asyncio.sleep(4)
        await _forbid(elsewhere, name, allowed=True)
        await _enqueue(database, queue, "short")
        await _until(lambda: _empty(postgres_url), 20)
    assert sorted(done) == ["long", "short"]
    assert interrupted == []


async def _forbid(url: str, name: str, *, allowed: bool) -> None:
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS {str(allowed).lower()}".encode())
        await connection.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (name,))
