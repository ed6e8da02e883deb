"""Rate limits that all servers share, in Redis. While it is away each server counts for itself."""

from __future__ import annotations

import secrets

from shared.ratelimits.memory import ProcessLimiter
from shared.ratelimits.port import WINDOW_S
from shared.store.redis import RedisLostError, RedisServer

_TAKE = """
local clock = redis.call('TIME')
local now = clock[1] * 1000000 + clock[2]
redis.call('ZREMRANGEBYSCORE', KEYS[1], '-inf', string.format('%.0f', now - ARGV[2]))
if redis.call('ZCARD', KEYS[1]) < tonumber(ARGV[1]) then
    redis.call('ZADD', KEYS[1], string.format('%.0f', now), ARGV[3])
    redis.call('PEXPIRE', KEYS[1], math.ceil(ARGV[2] / 1000))
    return 0
end
local oldest = redis.call('ZRANGE', KEYS[1], 0, 0, 'WITHSCORES')
return oldest[2] + ARGV[2] - now
"""
"""One script, so that two servers never both take the last place. Times in microseconds, by Redis' clock."""


class RedisLimiter:
    """`limit` requests a minute and key, over all servers."""

    def __init__(self, redis: RedisServer, limit: int) -> None:
        self._redis, self._limit = redis, limit
        self._alone = ProcessLimiter(limit)

    async def take(self, key: str) -> float:
        arguments = (f"requests:{{{key}}}", self._limit, int(WINDOW_S * 1_000_000), secrets.token_hex(8))
        try:
            wait_us: int = await self._redis.attempt(lambda client: client.eval(_TAKE, 1, *arguments))
        except RedisLostError:
            return await self._alone.take(key)
        return wait_us / 1_000_000
