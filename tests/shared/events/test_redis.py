"""Announcements over Redis: after the commit, from server to server; whatever happens to Redis no event is lost."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing
from pathlib import Path

import psycopg
import pytest

from shared.events.feed import StoredEventFeed, open_event_feed
from shared.events.redis import open_redis_announcements
from shared.events.store import CHANNEL, append
from shared.store import tasks
from shared.store.database import Database, open_database
from shared.store.records import Event, Task
from shared.store.redis import open_redis
from shared.types import Stage, new_id
from tests.redis_server import OwnRedis, own_redis


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[OwnRedis]:
    with own_redis(tmp_path) as server:
        yield server


@asynccontextmanager
async def _process(url: str, redis_url: str) -> AsyncIterator[tuple[Database, StoredEventFeed]]:
    """The database and the feed of one server."""
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(open_database(url))
        redis = await stack.enter_async_context(open_redis(redis_url))
        announcements = await stack.enter_async_context(open_redis_announcements(redis, database))
        yield database, await stack.enter_async_context(open_event_feed(database, announcements))


@pytest.fixture
async def writer(postgres_url: str, redis_server: OwnRedis) -> AsyncIterator[Database]:
    async with _process(postgres_url, redis_server.url) as (database, _):
        yield database


@pytest.fixture
async def reader(postgres_url: str, redis_server: OwnRedis, writer: Database) -> AsyncIterator[StoredEventFeed]:
    async with _process(postgres_url, redis_server.url) as (_, feed):
        yield feed


@pytest.fixture
async def task_id(writer: Database) -> str:
    task = Task(id=new_id("task"), user_id="local", title="t", prompt="p", repo="/r")
    async with writer.transaction() as tx:
        await tasks.insert(tx, task)
    return task.id


async def _log(database: Database, task_id: str, type_: str = "log") -> None:
    async with database.transaction() as tx:
        await append(tx, task_id, Stage.CODING, [(type_, {})])


async def _write_and_wait(writer: Database, task_id: str, came: asyncio.Queue[Event], seq: int) -> float:
    """Seconds from the commit of the event until it has come; it is the next one."""
    began = time.monotonic()
    await _log(writer, task_id)
    async with asyncio.timeout(10):
        assert (await came.get()).seq == seq
    return time.monotonic() - began


@asynccontextmanager
async def _following(feed: StoredEventFeed, task_id: str) -> AsyncIterator[asyncio.Queue[Event]]:
    came: asyncio.Queue[Event] = asyncio.Queue()

    async def follow() -> None:
        async for event in feed.follow(task_id):
            came.put_nowait(event)

    following = asyncio.create_task(follow())
    try:
        yield came
    finally:
        following.cancel()


async def test_another_server_hears_at_once_and_postgresql_is_not_asked_to_notify(
    writer: Database, reader: StoredEventFeed, task_id: str
) -> None:
    with closing(psycopg.connect(writer.conninfo, autocommit=True)) as listener:
        listener.execute(f"LISTEN {CHANNEL}".encode())
        async with _following(reader, task_id) as came:
            await _write_and_wait(writer, task_id, came, 1)
            for seq in range(2, 12):
                await _write_and_wait(writer, task_id, came, seq)
        assert list(await asyncio.to_thread(lambda: list(listener.notifies(timeout=0.2)))) == []


async def test_nothing_is_announced_that_was_rolled_back(writer: Database, redis_server: OwnRedis, task_id: str) -> None:
    announced: list[dict[str, int]] = []
    writer.announce = lambda committed: announced.append(dict(committed))

    async def fail() -> None:
        async with writer.transaction() as tx:
            await append(tx, task_id, Stage.CODING, [("log", {})])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    await _log(writer, task_id)
    assert announced == [{task_id: 1}]


async def test_killed_and_back(writer: Database, reader: StoredEventFeed, redis_server: OwnRedis, task_id: str) -> None:
    async with _following(reader, task_id) as came:
        await _write_and_wait(writer, task_id, came, 1)
        redis_server.kill()
        without = [await _write_and_wait(writer, task_id, came, seq) for seq in range(2, 12)]
        assert sorted(without)[5] < 0.5, "they go over NOTIFY, not by looking every second"
        redis_server.start()
        await asyncio.sleep(0.5)
        for seq in range(12, 22):
            await _write_and_wait(writer, task_id, came, seq)


async def test_frozen(writer: Database, reader: StoredEventFeed, redis_server: OwnRedis, task_id: str) -> None:
    """It takes connections and says nothing: the commit does not wait for it."""
    async with _following(reader, task_id) as came:
        await _write_and_wait(writer, task_id, came, 1)
        redis_server.signal(signal.SIGSTOP)
        try:
            began = time.monotonic()
            await _log(writer, task_id)
            assert time.monotonic() - began < 1
            async with asyncio.timeout(10):
                assert (await came.get()).seq == 2
        finally:
            redis_server.signal(signal.SIGCONT)


async def test_not_there_from_the_start(postgres_url: str, redis_server: OwnRedis) -> None:
    redis_server.kill()
    async with _process(postgres_url, redis_server.url) as (writer, _), _process(postgres_url, redis_server.url) as (_, reader):
        task = Task(id=new_id("task"), user_id="local", title="t", prompt="p", repo="/r")
        async with writer.transaction() as tx:
            await tasks.insert(tx, task)
        async with _following(reader, task.id) as came:
            for seq in range(1, 6):
                await _write_and_wait(writer, task.id, came, seq)


async def test_a_process_without_redis_is_heard_too(reader: StoredEventFeed, postgres_url: str, writer: Database, task_id: str) -> None:
    async with open_database(postgres_url) as plain, _following(reader, task_id) as came:
        await _write_and_wait(writer, task_id, came, 1)
        taken = [await _write_and_wait(plain, task_id, came, seq) for seq in range(2, 7)]
    assert sorted(taken)[2] < 0.5
