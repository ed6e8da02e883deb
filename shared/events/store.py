"""Events in PostgreSQL: appended in the transaction of the change, announced at its commit, followed over LISTEN."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import asynccontextmanager

import psycopg
from sqlalchemy import insert as insert_into
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.background import end_task
from shared.errors import NotFoundError, UnavailableError
from shared.store.database import Database
from shared.store.records import Event
from shared.store.rows import clean, columns, to_records
from shared.store.tables import events
from shared.types import Json, Stage, utcnow

CHANNEL = "persevere_events"
FINAL = "task_completed"
_POLL_S = 1.0
_LONGEST_BACKOFF_S = 5.0
_SAFETY_POLL_S = 30.0
_PAGE = 500
_COLUMNS = columns(Event, events)
_COUNT = text(
    "WITH counted AS (UPDATE tasks SET event_count = event_count + :more WHERE id = :task RETURNING id, event_count) "
    "SELECT event_count, pg_notify(:channel, id || ':' || event_count) FROM counted"
)
_logger = logging.getLogger(__name__)


async def append(tx: AsyncConnection, task_id: str, stage: Stage, new: Sequence[tuple[str, Json]]) -> list[Event]:
    """Add (type, data) pairs in order. Numbered from a counter on the task's row, so that writers of one task follow one another.

    `NotFoundError` when there is no such task. Clients hear of them when the transaction commits, and never if it does not.
    """
    if not new:
        return []
    last = (await tx.execute(_COUNT, {"task": task_id, "more": len(new), "channel": CHANNEL})).scalar_one_or_none()
    if last is None:
        raise NotFoundError(f"There is no task {task_id}.")
    now, first = utcnow(), last - len(new) + 1
    made = [
        Event(task_id=task_id, seq=first + index, type=type_, stage=stage, data=clean(data), created_at=now)
        for index, (type_, data) in enumerate(new)
    ]
    await tx.execute(insert_into(events), [{**event.model_dump(), "stage": event.stage.value} for event in made])
    return made


async def read(tx: AsyncConnection, task_id: str, after: int = 0, limit: int = 1000) -> list[Event]:
    """Stored events with `seq > after`, in order."""
    query = select(*_COLUMNS).where(events.c.task_id == task_id, events.c.seq > after).order_by(events.c.seq).limit(limit)
    return to_records(Event, await tx.execute(query))


class PostgresEventFeed:
    """One LISTEN connection for all followers of a process. While it is lost, followers look every second."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._followers: dict[str, set[asyncio.Event]] = {}
        self._listening = False
        self._closed = False

    async def read(self, task_id: str, after: int = 0, limit: int = 1000) -> list[Event]:
        async with self._database.connection() as tx:
            return await read(tx, task_id, after, limit)

    async def follow(self, task_id: str, after: int = 0) -> AsyncGenerator[Event, None]:
        """Every event with `seq > after`; ends after the last one stored is `task_completed`, or when the feed is closed."""
        news = asyncio.Event()
        self._followers.setdefault(task_id, set()).add(news)
        completed: bool | None = None
        try:
            while not self._closed:
                news.clear()
                page = await self._look(task_id, after)
                for event in page or ():
                    after, completed = event.seq, event.type == FINAL
                    yield event
                if page == []:
                    completed = await self._ended(task_id, after) if completed is None else completed
                    if completed:
                        return
                if not page:
                    await self._wait(news)
        finally:
            waiting = self._followers[task_id]
            waiting.discard(news)
            if not waiting:
                del self._followers[task_id]

    async def _look(self, task_id: str, after: int) -> list[Event] | None:
        """The next page; None while the database cannot be reached."""
        try:
            return await self.read(task_id, after, _PAGE)
        except UnavailableError:
            return None

    async def _ended(self, task_id: str, after: int) -> bool:
        """Whether the event before the ones asked for was the end: somebody who comes back has nothing to wait for."""
        last = await self._look(task_id, after - 1) if after > 0 else None
        return any(event.seq == after and event.type == FINAL for event in last or ())

    async def _wait(self, news: asyncio.Event) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_SAFETY_POLL_S if self._listening else _POLL_S):
                await news.wait()

    def _wake(self, task_id: str) -> None:
        for news in self._followers.get(task_id, ()):
            news.set()

    def _wake_all(self) -> None:
        for task_id in self._followers:
            self._wake(task_id)

    async def listen(self) -> None:
        """Run the LISTEN connection until cancelled; connects again with a growing pause."""
        pause = 0.1
        while True:
            try:
                connection = await psycopg.AsyncConnection.connect(
                    self._database.conninfo, autocommit=True, connect_timeout=10, application_name="persevere feed"
                )
                async with connection:
                    await connection.execute(f"LISTEN {CHANNEL}")
                    self._listening, pause = True, 0.1
                    self._wake_all()
                    async for notice in connection.notifies():
                        self._wake(notice.payload.rpartition(":")[0])
            except psycopg.OperationalError as error:
                _logger.warning("the event feed lost its connection and tries again: %s", type(error).__name__)
            finally:
                self._listening = False
                self._wake_all()
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_BACKOFF_S)

    def close(self) -> None:
        """End all followers."""
        self._closed = True
        self._wake_all()


@asynccontextmanager
async def open_event_feed(database: Database) -> AsyncIterator[PostgresEventFeed]:
    """The process's feed. Closing it ends every follower."""
    feed = PostgresEventFeed(database)
    listening = asyncio.create_task(feed.listen())
    try:
        yield feed
    finally:
        feed.close()
        await end_task(listening)
