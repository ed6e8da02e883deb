"""Events: no gaps, no repeats, delivered at commit and never before."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing

import psycopg
import pytest

from shared.errors import NotFoundError
from shared.events.feed import StoredEventFeed, open_event_feed
from shared.events.store import append
from shared.store import tasks
from shared.store.database import Database
from shared.store.records import Event, Task
from shared.types import Stage, new_id


@pytest.fixture
async def task_id(database: Database) -> str:
    task = Task(id=new_id("task"), user_id="local", title="t", prompt="p", repo="/r")
    async with database.transaction() as tx:
        await tasks.insert(tx, task)
    return task.id


@pytest.fixture
async def feed(database: Database) -> AsyncIterator[StoredEventFeed]:
    async with open_event_feed(database) as opened:
        yield opened


async def _log(database: Database, task_id: str, *messages: str) -> None:
    async with database.transaction() as tx:
        await append(tx, task_id, Stage.CODING, [("log", {"message": message}) for message in messages])


async def _complete(database: Database, task_id: str) -> None:
    async with database.transaction() as tx:
        await append(tx, task_id, Stage.REPORT, [("task_completed", {"final_status": "completed"})])


async def _collect(feed: StoredEventFeed, task_id: str, after: int = 0) -> list[Event]:
    async with asyncio.timeout(10):
        return [event async for event in feed.follow(task_id, after)]


async def test_concurrent_writers_leave_no_gap(database: Database, task_id: str, feed: StoredEventFeed) -> None:
    await asyncio.gather(*(_log(database, task_id, f"{n}a", f"{n}b") for n in range(15)))
    assert [event.seq for event in await feed.read(task_id)] == list(range(1, 31))


async def test_rolled_back_events_leave_no_gap(database: Database, task_id: str, feed: StoredEventFeed) -> None:
    async def fail() -> None:
        async with database.transaction() as tx:
            await append(tx, task_id, Stage.CODING, [("log", {})])
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    await _log(database, task_id, "kept")
    assert [(event.seq, event.data) for event in await feed.read(task_id)] == [(1, {"message": "kept"})]


async def test_unknown_task(database: Database) -> None:
    with pytest.raises(NotFoundError):
        await _log(database, "task_nobody", "x")


async def test_follow_gets_stored_and_new_events_once(database: Database, task_id: str, feed: StoredEventFeed) -> None:
    await _log(database, task_id, "before", "before too")
    following = [asyncio.create_task(_collect(feed, task_id, after)) for after in (0, 1, 2)]
    for n in range(20):
        await _log(database, task_id, str(n))
    await _complete(database, task_id)
    for after, events in zip((0, 1, 2), await asyncio.gather(*following), strict=True):
        assert [event.seq for event in events] == list(range(after + 1, 24))
        assert events[-1].type == "task_completed"


async def test_following_an_ended_task_from_its_end_ends(database: Database, task_id: str, feed: StoredEventFeed) -> None:
    await _complete(database, task_id)
    assert await _collect(feed, task_id, after=1) == []


async def test_a_retry_after_the_end_is_followed(database: Database, task_id: str, feed: StoredEventFeed) -> None:
    await _complete(database, task_id)
    await _log(database, task_id, "again")
    await _complete(database, task_id)
    assert [event.seq for event in await _collect(feed, task_id)] == [1, 2, 3]


async def test_news_are_announced_and_no_connection_is_held(database: Database, task_id: str, feed: StoredEventFeed) -> None:
    async with aclosing(feed.follow(task_id)) as events:
        waiting = asyncio.ensure_future(anext(events))
        await asyncio.sleep(0.3)
        assert database._engine.pool.checkedout() == 0  # type: ignore[attr-defined]
        await _log(database, task_id, "now")
        async with asyncio.timeout(10):  # the feed looks by itself only every 30 s while it listens
            assert (await waiting).data == {"message": "now"}


async def test_the_feed_survives_the_loss_of_its_connection(database: Database, task_id: str, feed: StoredEventFeed) -> None:
    async with aclosing(feed.follow(task_id)) as events:
        await _log(database, task_id, "first")
        assert (await anext(events)).seq == 1
        async with database.transaction() as tx:
            await tx.exec_driver_sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'persevere feed'")
        await _log(database, task_id, "second")
        async with asyncio.timeout(5):
            assert (await anext(events)).seq == 2


async def test_closing_the_feed_ends_its_followers(database: Database, task_id: str) -> None:
    async with open_event_feed(database) as feed:
        following = asyncio.create_task(_collect(feed, task_id))
        await asyncio.sleep(0.1)
    assert await following == []


async def test_announced_at_commit_only(database: Database, postgres_url: str, task_id: str) -> None:
    connection = await psycopg.AsyncConnection.connect(postgres_url, autocommit=True)
    async with connection:
        await connection.execute("LISTEN persevere_events")
        async with database.transaction() as tx:
            await append(tx, task_id, Stage.CODING, [("log", {}), ("log", {})])
            assert [notice async for notice in connection.notifies(timeout=0.2)] == []
        assert [notice.payload async for notice in connection.notifies(timeout=2, stop_after=1)] == [f"{task_id}:2"]
