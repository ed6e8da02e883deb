"""The feed of a process: one reader for all its followers. What is announced for a task is read once and shared by them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager

from shared.background import end_task
from shared.errors import UnavailableError
from shared.events.announcements import PostgresAnnouncements
from shared.events.following import TopicFollowing
from shared.events.pages import OUTAGE_S, Page, PageReader, read_pages
from shared.events.port import Announcements
from shared.events.store import read
from shared.events.topic import Topic
from shared.store.database import Database
from shared.store.records import Event

_POLL_S = 1.0
_SAFETY_POLL_S = 30.0
_TOGETHER = 256
_MOST = 100
_logger = logging.getLogger(__name__)


class StoredEventFeed:
    """Stored events, followed as they are announced. While nothing can be heard it looks every second."""

    def __init__(self, database: Database, announcements: Announcements) -> None:
        self._database, self._announcements = database, announcements
        self._reader = PageReader(database)
        self._topics: dict[str, Topic] = {}
        self._stale: dict[str, Topic] = {}
        self._news = asyncio.Event()
        self._is_listening = False
        self._is_closed = False

    async def read(self, task_id: str, after: int = 0, limit: int = 1000) -> list[Event]:
        async with self._database.connection() as tx:
            return await read(tx, task_id, after, limit)

    def open(self, task_id: str, after: int = 0) -> TopicFollowing:
        topic = self._topics.setdefault(task_id, Topic(task_id))
        following = TopicFollowing(topic, after, self)
        topic.followers.add(following)
        if self._is_closed:
            following.close()
        return following

    def ask(self, task_id: str, after: int, answer: asyncio.Future[Page | None]) -> None:
        self._reader.ask(task_id, after, answer)

    def refresh(self, topic: Topic) -> None:
        self._stale[topic.task_id] = topic
        self._news.set()

    def leave(self, topic: Topic, follower: TopicFollowing) -> None:
        topic.followers.discard(follower)
        if not topic.followers and self._topics.get(topic.task_id) is topic:
            del self._topics[topic.task_id]
            self._stale.pop(topic.task_id, None)

    async def follow(self, task_id: str, after: int = 0) -> AsyncGenerator[Event, None]:
        with self.open(task_id, after) as following:
            while (events := await following.next()) is not None:
                for event in events:
                    yield event

    async def run(self) -> None:
        """Listen and read until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._announcements.listen(self._heard, self._listening))
            group.create_task(self._reader.run())
            group.create_task(self._keep_fresh())

    def _heard(self, task_id: str, seq: int) -> None:
        topic = self._topics.get(task_id)
        if topic is not None:
            topic.heard = max(topic.heard, seq)
            self.refresh(topic)

    def _listening(self, is_listening: bool) -> None:
        """What was announced in between was not heard: look at everything."""
        self._is_listening = is_listening
        for topic in self._topics.values():
            self.refresh(topic)
        self._news.set()

    async def _keep_fresh(self) -> None:
        while True:
            try:
                async with asyncio.timeout(_SAFETY_POLL_S if self._is_listening else _POLL_S):
                    await self._news.wait()
            except TimeoutError:
                self._stale.update(self._topics)
            self._news.clear()
            while self._stale:
                together = [self._stale.pop(name) for name in list(self._stale)[:_TOGETHER]]
                try:
                    await self._look([topic for topic in together if topic.last is not None])
                except Exception as error:
                    if not isinstance(error, UnavailableError):
                        _logger.exception("new events could not be read; they are looked for again")
                    self._stale.update((topic.task_id, topic) for topic in together if topic.followers)
                    await asyncio.sleep(OUTAGE_S)

    async def _look(self, topics: list[Topic]) -> None:
        """Read what is new. A topic that was never read is left to its first follower, who is reading it."""
        if not topics:
            return
        pages = await read_pages(self._database, [(topic.task_id, topic.last or 0) for topic in topics], _MOST)
        for topic, page in zip(topics, pages, strict=True):
            if page is None:
                topic.end()
                continue
            topic.take(page)
            if not page.is_whole:
                self.refresh(topic)

    def close(self) -> None:
        """End all followers, now and later."""
        self._is_closed = True
        for topic in list(self._topics.values()):
            for follower in list(topic.followers):
                follower.close()


@asynccontextmanager
async def open_event_feed(database: Database, announcements: Announcements | None = None) -> AsyncIterator[StoredEventFeed]:
    """The process's feed. Closing it ends every follower."""
    feed = StoredEventFeed(database, announcements or PostgresAnnouncements(database.conninfo))
    running = asyncio.create_task(feed.run())
    try:
        yield feed
    finally:
        feed.close()
        await end_task(running)
