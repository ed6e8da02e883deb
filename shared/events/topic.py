"""What a process knows of one followed task: its latest events, kept once for all who follow it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import Protocol

from shared.events.pages import Page
from shared.store.records import Event

KEPT = 256
KEPT_BYTES = 1_000_000


class Follower(Protocol):
    def wake(self) -> None:
        """There is something new."""

    def close(self) -> None:
        """Nothing will come any more."""


class Topic:
    """`last` is the number up to which everything is known (None: nothing was read yet), `heard` the highest one announced.

    `tail` ends at `last` and is bounded in number and bytes: a follower that falls behind it reads what it missed by itself.
    """

    def __init__(self, task_id: str) -> None:
        self.task_id = task_id
        self.followers: set[Follower] = set()
        self.tail: deque[Event] = deque()
        self.last: int | None = None
        self.heard = 0
        self.is_final = False
        self.is_gone = False
        self._bytes = 0

    @property
    def is_behind(self) -> bool:
        return self.last is not None and self.heard > self.last

    def since(self, position: int) -> Sequence[Event] | None:
        """The known events after `position`, perhaps none; None when that cannot be told from here."""
        if self.last is None:
            return None
        if position >= self.last:
            return ()
        if not self.tail or position < self.tail[0].seq - 1:
            return None
        return [self.tail[index] for index in range(position - self.last, 0)]

    def take(self, page: Page) -> None:
        """Learn from a page, and wake the followers if it brought something new."""
        if self.last is not None and page.last <= self.last:
            if page.is_whole and page.last == self.last and page.events:
                self.is_final = page.is_final
            return
        follows = self.last is not None and bool(page.events) and page.events[0].seq <= self.last + 1
        if not (follows or page.is_whole):
            return
        if not follows:
            self.tail.clear()
            self._bytes = 0
        for event in page.events:
            if not follows or self.last is None or event.seq > self.last:
                self.tail.append(event)
                self._bytes += len(event.wire)
        while self.tail and (len(self.tail) > KEPT or self._bytes > KEPT_BYTES):
            self._bytes -= len(self.tail.popleft().wire)
        self.last, self.is_final = page.last, page.is_final
        self.wake()

    def wake(self) -> None:
        for follower in self.followers:
            follower.wake()

    def end(self) -> None:
        """The task is gone."""
        self.is_gone = True
        self.wake()
