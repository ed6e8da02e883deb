"""Events of tasks: appended with the change that caused them, read back by sequence number, followed live."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import AbstractContextManager
from typing import Protocol

from shared.store.records import Event


class Following(AbstractContextManager["Following"], Protocol):
    """One reader's place in a task's events. Not for two readers at once."""

    async def next(self) -> Sequence[Event] | None:
        """The events after the last ones given, once there are any; None at the end. May be cancelled at every step.

        The end: the last one is `task_completed` and no retry has appended to it, the task is gone, or `close` was called.
        """

    def close(self) -> None:
        """End it: a waiting `next` returns None."""


class EventFeed(Protocol):
    """Follows stored events. Holds no database connection and buffers nothing for a reader that is slow."""

    async def read(self, task_id: str, after: int = 0, limit: int = 1000) -> list[Event]:
        """Stored events with `seq > after`, in order."""

    def open(self, task_id: str, after: int = 0) -> Following:
        """Every event with `seq > after`: the stored ones, then each new one, without a gap or a repeat."""

    def follow(self, task_id: str, after: int = 0) -> AsyncGenerator[Event, None]:
        """The events of `open` one by one. The caller closes it."""


class Announcements(Protocol):
    """Says which tasks have new events. Only a hint: it may come late, twice or never; the truth is what is read."""

    async def listen(self, heard: Callable[[str, int], None], listening: Callable[[bool], None]) -> None:
        """Until cancelled call `heard(task_id, seq of its last event)`, and `listening` whenever hearing begins or is interrupted."""
