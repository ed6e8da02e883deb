"""Events of tasks: appended with the change that caused them, read back by sequence number, followed live."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Protocol

from shared.store.records import Event


class EventFeed(Protocol):
    """Follows stored events. Holds no database connection while it waits."""

    async def read(self, task_id: str, after: int = 0, limit: int = 1000) -> list[Event]:
        """Stored events with `seq > after`, in order."""

    def follow(self, task_id: str, after: int = 0) -> AsyncGenerator[Event, None]:
        """Every event with `seq > after`: the stored ones, then each new one, without a gap or a repeat.

        Ends after `task_completed`, unless a retry has appended to it. The caller closes it.
        """
