"""The limiter of a process: none, its own, or one shared over Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING

from shared.ratelimits.memory import NoLimit, ProcessLimiter
from shared.ratelimits.port import RateLimiter

if TYPE_CHECKING:
    from shared.store.redis import RedisServer


def build_limiter(limit: int, redis: RedisServer | None) -> RateLimiter:
    """`limit` requests a minute; 0: any number."""
    if limit == 0:
        return NoLimit()
    if redis is None:
        return ProcessLimiter(limit)
    from shared.ratelimits.redis import RedisLimiter

    return RedisLimiter(redis, limit)
