"""Streams end for certain: when their task is cancelled at every step, as a server's cancel scope does, and when the server stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from agent_orchestrator.streams import Streams, sse_events
from shared.events import store as events_store
from shared.events.feed import StoredEventFeed, open_event_feed
from shared.store import tasks
from shared.store.database import Database
from shared.store.records import Task
from shared.types import Stage, new_id


@pytest.fixture
async def feed(database: Database) -> AsyncIterator[StoredEventFeed]:
    async with open_event_feed(database) as opened:
        yield opened


@pytest.fixture
async def task_id(database: Database) -> str:
    task = Task(id=new_id("task"), user_id="local", title="t", prompt="p", repo="/r")
    async with database.transaction() as tx:
        await tasks.insert(tx, task)
    return task.id


async def _log(database: Database, task_id: str) -> None:
    async with database.transaction() as tx:
        await events_store.append(tx, task_id, Stage.CODING, [("log", {"message": "é"})])


@pytest.mark.parametrize("pause", [0, 0.001, 0.1])
async def test_a_stream_cancelled_at_every_step_lets_everything_go(
    pause: float, database: Database, feed: StoredEventFeed, task_id: str
) -> None:
    """While it reads, and while it waits."""
    streams = Streams()

    async def consume() -> None:
        async for _ in sse_events(streams, feed, task_id, 0):
            pass

    consuming = asyncio.create_task(consume())
    await asyncio.sleep(pause)
    while not consuming.done():
        consuming.cancel()
        await asyncio.sleep(0)
    assert consuming.cancelled(), consuming.exception()
    assert not feed._topics
    assert not streams._open
    await _log(database, task_id)
    async with asyncio.timeout(5):
        with feed.open(task_id) as following:
            events = await following.next()
    assert events is not None
    assert [event.seq for event in events] == [1]


async def test_stopping_ends_every_stream_and_those_that_come_later(feed: StoredEventFeed, task_id: str) -> None:
    streams = Streams()

    async def consume() -> list[bytes]:
        return [piece async for piece in sse_events(streams, feed, task_id, 0)]

    consuming = [asyncio.create_task(consume()) for _ in range(3)]
    await asyncio.sleep(0.1)
    streams.stop()
    async with asyncio.timeout(1):
        assert await asyncio.gather(*consuming, consume()) == [[], [], [], []]


async def test_an_event_is_one_block_of_lines(database: Database, feed: StoredEventFeed, task_id: str) -> None:
    await _log(database, task_id)
    events = sse_events(Streams(), feed, task_id, 0)
    piece = await anext(events)
    await events.aclose()
    head, data, end, rest = piece.decode().replace("\nevent: log", "", 1).split("\n")
    assert (head, end, rest) == ("id: 1", "", "")
    assert data.startswith("data: {")
    assert '"message":"é"' in data
