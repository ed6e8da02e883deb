"""One follower's place in a task's events. It takes what the topic knows and reads by itself what it missed."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Any, Protocol

from shared.events.pages import Page
from shared.events.topic import Topic
from shared.store.records import Event


class Library(Protocol):
    """Where a follower turns to."""

    def ask(self, task_id: str, after: int, answer: asyncio.Future[Page | None]) -> None:
        """Put the next page into `answer`, unless it is done by then; None when there is no such task."""

    def refresh(self, topic: Topic) -> None:
        """Read what was announced, for all who follow the topic."""

    def leave(self, topic: Topic, follower: TopicFollowing) -> None:
        """The follower is closed."""


class TopicFollowing:
    """Holds its position and nothing else, so that a slow reader costs no memory."""

    def __init__(self, topic: Topic, position: int, library: Library) -> None:
        self._topic, self._library = topic, library
        self._position = position
        self._is_placed = bool(topic.tail)
        self._is_closed = False
        self._sleeping: asyncio.Future[Any] | None = None
        self._reading: asyncio.Future[Page | None] | None = None

    async def next(self) -> Sequence[Event] | None:
        while not (self._is_closed or self._topic.is_gone):
            events = self._topic.since(self._position) if self._is_placed else None
            if events is None:
                events = await self._read()
            if events:
                self._position = events[-1].seq
                return events
            if self._is_at_the_end():
                return None
            await self._sleep()
        return None

    async def _read(self) -> Sequence[Event]:
        """The next page. The first one begins with the event before: it tells somebody who comes back whether that was the end."""
        begin = self._position - 1 if not self._is_placed and self._position > 0 else self._position
        self._reading = asyncio.get_running_loop().create_future()
        self._library.ask(self._topic.task_id, begin, self._reading)
        try:
            page = await self._reading
        finally:
            self._reading = None
        if self._is_closed:
            return ()
        if page is None:
            self._topic.end()
            return ()
        self._is_placed = True
        self._topic.take(page)
        if self._topic.is_behind:
            self._library.refresh(self._topic)
        return [event for event in page.events if event.seq > self._position]

    def _is_at_the_end(self) -> bool:
        topic = self._topic
        return self._is_closed or topic.is_gone or (topic.is_final and not topic.is_behind and self._position >= (topic.last or 0))

    async def _sleep(self) -> None:
        self._sleeping = asyncio.get_running_loop().create_future()
        try:
            await self._sleeping
        finally:
            self._sleeping = None

    def wake(self) -> None:
        if self._sleeping is not None and not self._sleeping.done():
            self._sleeping.set_result(None)

    def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        self._library.leave(self._topic, self)
        self.wake()
        if self._reading is not None and not self._reading.done():
            self._reading.set_result(None)

    def __enter__(self) -> TopicFollowing:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()
