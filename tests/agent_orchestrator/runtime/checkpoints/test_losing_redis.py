"""Redis flushed, killed or never there, under a real task: slower, never wrong."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent_orchestrator.resources import Resources, open_resources
from config.settings import Settings
from shared.store import approvals, pull_requests
from shared.store.records import Task
from shared.types import Gate, TaskStatus
from tests.agent_orchestrator.conftest import git
from tests.agent_orchestrator.runtime.driving import approve_all, decide, ended, submit, waiting
from tests.redis_server import OwnRedis

CHANGE = "replace 'Read' with 'Load' in app.py"


@pytest.fixture
def on_redis(settings: Settings, redis_server: OwnRedis) -> Settings:
    return settings.model_copy(update={"redis_url": redis_server.url, "checkpoints": "redis"})


@pytest.fixture
async def working(on_redis: Settings) -> AsyncIterator[Resources]:
    async with open_resources(on_redis, worker=True) as opened:
        yield opened


async def assert_done_once(resources: Resources, task: Task, repository: Path) -> None:
    """Completed with one branch, one pull request, and no question asked twice."""
    assert (task.status, task.outcome) == (TaskStatus.COMPLETED, "pull_request"), task.error
    async with resources.database.connection() as connection:
        pulls, _ = await pull_requests.list_(connection, str(repository))
        asked = await approvals.for_task(connection, task.id)
    assert len(pulls) == 1
    assert [(item.gate, item.revision, item.status.value) for item in asked] == [(Gate.PLAN, 1, "approved"), (Gate.DIFF, 1, "approved")]
    assert len(git(repository, "branch", "--list", "persevere/*").splitlines()) == 1
    events = await resources.feed.read(task.id)
    assert [event.seq for event in events] == list(range(1, len(events) + 1))
    assert sum(event.type == "pr_created" for event in events) == 1


async def test_a_flush_while_it_waits_asks_nothing_again(working: Resources, redis_server: OwnRedis, repository: Path) -> None:
    task = await submit(working, repository, CHANGE)
    plan = await waiting(working, task.id)
    redis_server.flush()
    await decide(working, plan, "approve")
    diff = await waiting(working, task.id)
    redis_server.flush()
    await decide(working, diff, "approve")
    await assert_done_once(working, await ended(working, task.id), repository)


async def test_flushes_all_the_time(working: Resources, redis_server: OwnRedis, repository: Path) -> None:
    async def keep_flushing() -> None:
        while True:
            await asyncio.to_thread(redis_server.flush)
            await asyncio.sleep(0.03)

    flushing = asyncio.create_task(keep_flushing())
    try:
        task = await submit(working, repository, CHANGE)
        done, _ = await approve_all(working, task.id)
    finally:
        flushing.cancel()
    await assert_done_once(working, done, repository)


async def test_killed_in_the_middle_and_back_again(
    working: Resources, redis_server: OwnRedis, repository: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    task = await submit(working, repository, CHANGE)
    plan = await waiting(working, task.id)
    redis_server.kill()
    await decide(working, plan, "approve")
    diff = await waiting(working, task.id)
    assert sum("cannot be used" in record.message for record in caplog.records) == 1
    redis_server.start()
    await decide(working, diff, "approve")
    await assert_done_once(working, await ended(working, task.id), repository)


async def test_not_there_from_the_start(on_redis: Settings, redis_server: OwnRedis, repository: Path) -> None:
    redis_server.kill()
    async with open_resources(on_redis, worker=True) as resources:
        task = await submit(resources, repository, CHANGE)
        done, _ = await approve_all(resources, task.id)
        await assert_done_once(resources, done, repository)


async def test_checkpoints_may_move_while_a_task_waits(settings: Settings, on_redis: Settings, repository: Path) -> None:
    async with open_resources(settings, worker=True) as resources:
        task = await submit(resources, repository, CHANGE)
        plan = await waiting(resources, task.id)
    async with open_resources(on_redis, worker=True) as resources:
        await decide(resources, plan, "approve")
        diff = await waiting(resources, task.id)
    async with open_resources(settings, worker=True) as resources:
        await decide(resources, diff, "approve")
        await assert_done_once(resources, await ended(resources, task.id), repository)
        assert [event.type for event in await resources.feed.read(task.id)].count("plan_ready") == 1
