"""Redis holds the checkpoints and is killed, flushed or frozen in the middle of a task: nothing is lost, nothing happens twice."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.chaos.scenario import Ordeal
from tests.chaos.sweep import Sweep, kills_of
from tests.redis_server import OwnRedis, own_redis

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]


class RedisSweep(Sweep):
    """A sweep whose lives keep their checkpoints in Redis."""

    def __init__(self, make_url: Callable[[], str], folder: Path, redis: OwnRedis) -> None:
        super().__init__(make_url, folder)
        self.redis = redis

    def _prepare(self) -> Ordeal:
        return replace(super()._prepare(), redis_url=self.redis.url)

    def _live(self, ordeal: Ordeal, *more: float) -> int | None:
        """Every life begins with an empty Redis: what the one before left there is gone."""
        self.redis.flush()
        return super()._live(ordeal, *more)


@pytest.fixture
def redis_sweep(make_postgres_url: Callable[[], str], tmp_path: Path) -> Iterator[RedisSweep]:
    with own_redis(tmp_path) as redis:
        yield RedisSweep(make_postgres_url, tmp_path, redis)


def _killed(redis: OwnRedis) -> None:
    for _ in range(3):
        redis.kill()
        time.sleep(random.uniform(0.3, 2))
        redis.start()
        time.sleep(random.uniform(0.3, 2))


def _flushed(redis: OwnRedis) -> None:
    for _ in range(60):
        redis.flush()
        time.sleep(0.1)


def _frozen(redis: OwnRedis) -> None:
    redis.signal(signal.SIGSTOP)
    time.sleep(20)
    redis.signal(signal.SIGCONT)


@pytest.mark.parametrize("disturbance", [_killed, _flushed, _frozen])
def test_a_task_outlives_its_redis(disturbance: Callable[[OwnRedis], None], redis_sweep: RedisSweep) -> None:
    story, _ = redis_sweep.undisturbed()

    def disturb(ordeal: Ordeal, goes_on: Callable[[], bool]) -> None:
        while goes_on() and not list((ordeal.data_dir / "workspaces").glob("*")):
            time.sleep(0.05)
        disturbance(redis_sweep.redis)

    assert redis_sweep.disturb(story, disturb) == []


def test_a_killed_process_goes_on_although_redis_forgot_everything(redis_sweep: RedisSweep) -> None:
    story, counts = redis_sweep.undisturbed()
    points = [kill for kill in kills_of(counts) if " checkpoints." in kill[0]]
    outcomes = redis_sweep.kill_at(story, points[::8])
    assert [(outcome.point, outcome.wrong) for outcome in outcomes if outcome.wrong] == []
    assert sum(outcome.reached for outcome in outcomes) >= 5
