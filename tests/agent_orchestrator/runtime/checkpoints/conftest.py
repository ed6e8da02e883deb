"""Savers on real servers, and the pool they are given."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from agent_orchestrator.runtime.checkpoints.port import Checkpoints
from agent_orchestrator.runtime.checkpoints.registry import build_checkpoints
from shared.store import runs, tasks
from shared.store.database import Database
from shared.store.records import Run, Task
from shared.store.redis import open_redis
from tests.redis_server import OwnRedis, own_redis


@pytest.fixture
async def pool(postgres_url: str) -> AsyncIterator[AsyncConnectionPool[Any]]:
    kwargs = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
    async with AsyncConnectionPool(postgres_url, min_size=1, max_size=4, kwargs=kwargs, open=False) as opened:
        yield opened


@pytest.fixture
async def run(database: Database) -> Run:
    """A run that its worker holds at epoch 1."""
    async with database.transaction() as tx:
        task = Task(id="task_1", user_id="local", prompt="p", title="t", repo="/r", workflow="refactor", request={})
        await tasks.insert(tx, task)
        await runs.insert(tx, task.id)
        return await runs.claim(tx, task.id, "worker", 1, "host")


@pytest.fixture(params=["postgres", "redis"])
async def checkpoints(request: pytest.FixtureRequest, pool: AsyncConnectionPool[Any], tmp_path: Path) -> AsyncIterator[Checkpoints]:
    """Each kind of checkpoints in turn."""
    if request.param == "postgres":
        yield build_checkpoints("postgres", pool, None)
        return
    with own_redis(tmp_path) as server:
        async with open_redis(server.url) as redis:
            yield build_checkpoints("redis", pool, redis)


@pytest.fixture
def redis_server(tmp_path: Path) -> Iterator[OwnRedis]:
    with own_redis(tmp_path) as server:
        yield server
