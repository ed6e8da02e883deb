"""Every limiter: exact under concurrency, fair to others, and a minute is a minute."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from shared.errors import TooManyRequestsError
from shared.ratelimits import memory, port
from shared.ratelimits.port import RateLimiter, require
from shared.ratelimits.registry import build_limiter
from shared.store.redis import open_redis
from tests.redis_server import OwnRedis, own_redis


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[OwnRedis]:
    with own_redis(tmp_path) as server:
        yield server


@pytest.fixture(params=["process", "redis"])
async def limiters(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[list[RateLimiter]]:
    """The limiters of two servers, of 5 requests in a window of 2 s."""
    monkeypatch.setattr(memory, "WINDOW_S", 2.0)
    if request.param == "process":
        one = build_limiter(5, None)
        yield [one, one]
        return
    from shared.ratelimits import redis as redis_limits

    monkeypatch.setattr(redis_limits, "WINDOW_S", 2.0)
    url = request.getfixturevalue("redis_server").url
    async with open_redis(url) as first, open_redis(url) as second:
        yield [build_limiter(5, first), build_limiter(5, second)]


async def test_exact_under_concurrency_over_all_servers(limiters: list[RateLimiter]) -> None:
    answers = await asyncio.gather(*(limiters[n % 2].take("ann") for n in range(30)))
    assert sum(wait == 0 for wait in answers) == 5
    assert all(0 < wait <= 2 for wait in answers if wait)
    assert await limiters[0].take("bob") == 0


async def test_there_is_room_again_when_it_said_so_and_no_sooner(limiters: list[RateLimiter]) -> None:
    for _ in range(5):
        assert await limiters[0].take("ann") == 0
    wait_s = await limiters[0].take("ann")
    await asyncio.sleep(wait_s - 0.2)
    assert await limiters[0].take("ann") > 0
    await asyncio.sleep(0.3)
    assert await limiters[0].take("ann") == 0


async def test_without_redis_each_server_counts_for_itself(redis_server: OwnRedis) -> None:
    async with open_redis(redis_server.url) as redis:
        limiter = build_limiter(3, redis)
        redis_server.kill()
        assert [await limiter.take("ann") == 0 for _ in range(5)] == [True, True, True, False, False]


async def test_the_error_says_when() -> None:
    limiter = build_limiter(1, None)
    await require(limiter, "ann")
    with pytest.raises(TooManyRequestsError) as caught:
        await require(limiter, "ann")
    assert caught.value.status == 429
    assert 1 <= caught.value.details["retry_after_s"] <= port.WINDOW_S


async def test_no_limit() -> None:
    limiter = build_limiter(0, None)
    assert [await limiter.take("ann") for _ in range(100)] == [0.0] * 100
