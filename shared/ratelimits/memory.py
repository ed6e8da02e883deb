"""Rate limits of one process."""

from __future__ import annotations

import time
from collections import deque

from shared.ratelimits.port import WINDOW_S

_MOST_KEYS = 10_000


class NoLimit:
    async def take(self, key: str) -> float:
        return 0.0


class ProcessLimiter:
    """`limit` requests a minute and key. Forgets whoever has been quiet for a minute."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken: dict[str, deque[float]] = {}

    async def take(self, key: str) -> float:
        now = time.monotonic()
        if len(self._taken) > _MOST_KEYS:
            self._taken = {name: times for name, times in self._taken.items() if times and times[-1] > now - WINDOW_S}
        times = self._taken.setdefault(key, deque())
        while times and times[0] <= now - WINDOW_S:
            times.popleft()
        if len(times) >= self._limit:
            return times[0] + WINDOW_S - now
        times.append(now)
        return 0.0
