"""Announcements over Redis: published after the commit, heard by every server. Without Redis they go over PostgreSQL's NOTIFY.

They are hints. One that is lost costs a follower a second, or half a minute if everything seems to work; never an event.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import text

from shared.background import end_task
from shared.errors import UnavailableError
from shared.events.announcements import PostgresAnnouncements
from shared.events.store import CHANNEL
from shared.store.database import Database
from shared.store.redis import RedisLostError, RedisServer, build_client

REDIS_CHANNEL = "persevere:events"
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0
_QUIET_S = 5.0
"""Silence after which the server is asked whether it is there; twice that ends the connection."""
_NOTIFY = text("SELECT pg_notify(:channel, named) FROM unnest(CAST(:named AS text[])) AS named")


class RedisAnnouncements:
    """Implements `Announcements`, and announces what this process commits."""

    def __init__(self, redis: RedisServer, database: Database) -> None:
        self._redis, self._database = redis, database
        self._postgres = PostgresAnnouncements(database.conninfo)
        self._committed: dict[str, int] = {}
        self._news = asyncio.Event()

    def announce(self, committed: Mapping[str, int]) -> None:
        """Tasks and the seq of their last event. Never waits."""
        for task_id, seq in committed.items():
            self._committed[task_id] = max(seq, self._committed.get(task_id, 0))
        self._news.set()

    async def publish(self) -> None:
        """Publish what was committed until cancelled; what gathered in the meantime goes together."""
        while True:
            await self._news.wait()
            self._news.clear()
            together, self._committed = [f"{task_id}:{seq}" for task_id, seq in self._committed.items()], {}
            try:
                await self._redis.attempt(lambda client, named=together: _publish(client, named))  # type: ignore[misc]
            except RedisLostError:
                await self._notify(together)

    async def _notify(self, named: list[str]) -> None:
        with contextlib.suppress(UnavailableError):
            async with self._database.connection() as tx:
                await tx.execute(_NOTIFY, {"channel": CHANNEL, "named": named})

    async def listen(self, heard: Callable[[str, int], None], listening: Callable[[bool], None]) -> None:
        """Over both: PostgreSQL carries what Redis could not, and what processes without Redis say."""
        up = {"redis": False, "postgres": False}

        def note(which: str, is_up: bool) -> None:
            before = all(up.values())
            up[which] = is_up
            if is_up or before:
                listening(all(up.values()))

        async with asyncio.TaskGroup() as group:
            group.create_task(self._postgres.listen(heard, lambda is_up: note("postgres", is_up)))
            group.create_task(self._subscribe(heard, lambda is_up: note("redis", is_up)))

    async def _subscribe(self, heard: Callable[[str, int], None], listening: Callable[[bool], None]) -> None:
        from valkey.exceptions import ValkeyError

        pause = _FIRST_PAUSE_S
        while True:
            client = build_client(self._redis.url, answer_s=None, connections=2)
            try:
                async with client.pubsub() as subscription:
                    await subscription.subscribe(REDIS_CHANNEL)
                    async for kind, said in _messages(subscription):
                        if kind == "subscribe":
                            pause = _FIRST_PAUSE_S
                            listening(True)
                        elif kind == "message":
                            task_id, _, seq = said.decode().rpartition(":")
                            heard(task_id, int(seq))
            except (ValkeyError, OSError, TimeoutError):
                await self._redis.ping()
            finally:
                listening(False)
                await client.aclose()
                await client.connection_pool.aclose()
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_S)


async def _publish(client: Any, named: list[str]) -> None:
    pipe = client.pipeline(transaction=False)
    for one in named:
        pipe.publish(REDIS_CHANNEL, one)
    await pipe.execute()


async def _messages(subscription: Any) -> AsyncIterator[tuple[str, bytes]]:
    """What is said, as (kind, data). `TimeoutError` when the server is silent although it was asked."""
    asked = False
    while True:
        message = await subscription.get_message(timeout=_QUIET_S)
        if message is not None:
            asked = False
            yield message["type"], message["data"]
            continue
        if asked:
            raise TimeoutError
        await subscription.ping()
        asked = True


@asynccontextmanager
async def open_redis_announcements(redis: RedisServer, database: Database) -> AsyncIterator[RedisAnnouncements]:
    """From here on this process's events are announced over Redis."""
    announcements = RedisAnnouncements(redis, database)
    publishing = asyncio.create_task(announcements.publish())
    database.announce = announcements.announce
    try:
        yield announcements
    finally:
        database.announce = None
        await end_task(publishing)
