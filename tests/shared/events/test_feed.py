"""One reader for many followers: few queries, bounded memory, and every follower at its own pace."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable

import pytest
from sqlalchemy import event as sqlalchemy_event

from shared.errors import UnavailableError
from shared.events import topic as topics
from shared.events.feed import StoredEventFeed, open_event_feed
from shared.events.store import append
from shared.store import tasks
from shared.store.database import Database
from shared.store.records import Task
from shared.types import Stage, new_id

FOLLOWERS = 100


class Silence:
    """Announcements that never come, as when every one of them is lost."""

    async def listen(self, heard: Callable[[str, int], None], listening: Callable[[bool], None]) -> None:
        await asyncio.Event().wait()


async def make_task(database: Database, events: int = 0) -> str:
    task = Task(id=new_id("task"), user_id="local", title="t", prompt="p", repo="/r")
    async with database.transaction() as tx:
        await tasks.insert(tx, task)
    await log(database, task.id, events)
    return task.id


async def log(database: Database, task_id: str, count: int = 1, size: int = 10) -> None:
    async with database.transaction() as tx:
        await append(tx, task_id, Stage.CODING, [("log", {"message": "x" * size})] * count)


async def complete(database: Database, task_id: str) -> None:
    async with database.transaction() as tx:
        await append(tx, task_id, Stage.REPORT, [("task_completed", {"final_status": "completed"})])


async def collect(feed: StoredEventFeed, task_id: str, after: int = 0) -> list[int]:
    async with asyncio.timeout(20):
        return [event.seq async for event in feed.follow(task_id, after)]


@pytest.fixture
async def feed(database: Database) -> AsyncIterator[StoredEventFeed]:
    async with open_event_feed(database) as opened:
        yield opened


@pytest.fixture
def reads(database: Database) -> list[str]:
    """The statements that read pages of events."""
    seen: list[str] = []

    def note(connection: object, cursor: object, statement: str, *rest: object) -> None:
        if "LATERAL" in statement:
            seen.append(statement)

    sqlalchemy_event.listen(database._engine.sync_engine, "before_cursor_execute", note)
    return seen


async def test_a_hundred_followers_cost_one_query_an_event(database: Database, feed: StoredEventFeed, reads: list[str]) -> None:
    task_id = await make_task(database, 3)
    following = [asyncio.create_task(collect(feed, task_id)) for _ in range(FOLLOWERS)]
    await asyncio.sleep(0.2)
    for _ in range(20):
        await log(database, task_id)
        await asyncio.sleep(0.01)
    await complete(database, task_id)
    assert all(seen == list(range(1, 25)) for seen in await asyncio.gather(*following))
    assert len(reads) <= 25
    assert not feed._topics


async def test_many_tasks_are_read_together(database: Database, feed: StoredEventFeed, reads: list[str]) -> None:
    names = [await make_task(database, 1) for _ in range(FOLLOWERS)]
    following = [asyncio.create_task(collect(feed, name)) for name in names]
    await asyncio.sleep(0.5)
    reads.clear()
    async with database.transaction() as tx:
        for name in names:
            await append(tx, name, Stage.REPORT, [("task_completed", {})])
    assert await asyncio.gather(*following) == [[1, 2]] * FOLLOWERS
    assert len(reads) <= 10


async def test_a_follower_that_falls_behind_what_is_kept_misses_nothing(
    database: Database, feed: StoredEventFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(topics, "KEPT", 8)
    monkeypatch.setattr(topics, "KEPT_BYTES", 2_000)
    task_id = await make_task(database, 1)
    quick = asyncio.create_task(collect(feed, task_id))
    with feed.open(task_id) as slow:
        seen = [event.seq for event in await slow.next() or ()]
        for number in range(30):
            await log(database, task_id, 5, 10 if number % 2 else 500)
        await complete(database, task_id)
        assert await quick == list(range(1, 153))
        kept = feed._topics[task_id].tail
        assert len(kept) <= 8
        assert sum(len(event.wire) for event in kept) <= 2_000
        while (events := await slow.next()) is not None:
            seen += [event.seq for event in events]
    assert seen == list(range(1, 153))


async def test_without_announcements_it_looks_every_second(database: Database) -> None:
    task_id = await make_task(database, 1)
    async with open_event_feed(database, Silence()) as feed:
        following = asyncio.create_task(collect(feed, task_id))
        await asyncio.sleep(0.2)
        await log(database, task_id)
        await complete(database, task_id)
        assert await following == [1, 2, 3]


async def test_a_number_that_never_was_waits_for_the_one_after_it(database: Database, feed: StoredEventFeed) -> None:
    """And does not disturb the others."""
    task_id = await make_task(database, 2)
    ahead = asyncio.create_task(collect(feed, task_id, 4))
    await asyncio.sleep(0.1)
    others = [asyncio.create_task(collect(feed, task_id, after)) for after in (0, 2)]
    await asyncio.sleep(0.1)
    await log(database, task_id, 3)
    await complete(database, task_id)
    assert await asyncio.gather(ahead, *others) == [[5, 6], [1, 2, 3, 4, 5, 6], [3, 4, 5, 6]]


async def test_following_ends_when_the_task_is_gone(database: Database, feed: StoredEventFeed) -> None:
    assert await collect(feed, "task_nobody") == []


async def test_followers_wait_for_the_database_to_come_back(
    database: Database, feed: StoredEventFeed, monkeypatch: pytest.MonkeyPatch
) -> None:
    task_id = await make_task(database, 1)
    following = asyncio.create_task(collect(feed, task_id))
    await asyncio.sleep(0.2)
    with monkeypatch.context() as outage:

        def away() -> None:
            raise UnavailableError("The database is away.")

        outage.setattr(database, "connection", away)
        await log(database, task_id)
        late = asyncio.create_task(collect(feed, task_id))
        await asyncio.sleep(0.2)
    await complete(database, task_id)
    assert list(await asyncio.gather(following, late)) == [[1, 2, 3]] * 2


async def test_a_reader_that_is_cancelled_disturbs_nobody(database: Database, feed: StoredEventFeed) -> None:
    task_id = await make_task(database, 1000)
    leaving = [asyncio.create_task(collect(feed, task_id)) for _ in range(20)]
    staying = asyncio.create_task(collect(feed, task_id))
    for number, task in enumerate(leaving):
        await asyncio.sleep(number / 5000)
        task.cancel()
    await complete(database, task_id)
    assert await staying == list(range(1, 1002))
    await asyncio.gather(*leaving, return_exceptions=True)
    assert database._engine.pool.checkedout() == 0  # type: ignore[attr-defined]
