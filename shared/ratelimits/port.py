"""How often one person may ask."""

from __future__ import annotations

from typing import Protocol

from shared.errors import TooManyRequestsError

WINDOW_S = 60.0


class RateLimiter(Protocol):
    """Counts in a sliding window of a minute: at no moment were there more than the limit in the minute before."""

    async def take(self, key: str) -> float:
        """Count one request under `key`: 0 when it is allowed, else (uncounted) the seconds until the next one will be."""


async def require(limiter: RateLimiter, key: str) -> None:
    """`TooManyRequestsError` when `key` has used up its minute."""
    wait_s = await limiter.take(key)
    if wait_s > 0:
        raise TooManyRequestsError(wait_s)
