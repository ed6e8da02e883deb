"""LangGraph's own conformance list, over every kind of checkpoints."""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from langgraph.checkpoint.base import BaseCheckpointSaver
from langgraph.checkpoint.conformance import checkpointer_test, validate
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from agent_orchestrator.runtime.checkpoints.port import Checkpoints
from agent_orchestrator.runtime.checkpoints.registry import build_checkpoints
from shared.store import runs, tasks
from shared.store.database import Database
from shared.store.records import Task
from shared.store.redis import open_redis
from tests.redis_server import own_redis


@pytest.fixture(params=["postgres", "redis"])
async def checkpoints(request: pytest.FixtureRequest, postgres_url: str, tmp_path: Path) -> AsyncIterator[Checkpoints]:
    kwargs = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
    pool: AsyncConnectionPool[Any] = AsyncConnectionPool(postgres_url, min_size=1, max_size=4, kwargs=kwargs, open=False)
    async with pool:
        if request.param == "postgres":
            yield build_checkpoints("postgres", pool, None)
            return
        with own_redis(tmp_path) as server:
            async with open_redis(server.url) as redis:
                yield build_checkpoints("redis", pool, redis)


async def test_conforms(checkpoints: Checkpoints, database: Database) -> None:
    async with database.transaction() as tx:
        task = Task(id="task_1", user_id="local", prompt="p", title="t", repo="/r", workflow="refactor", request={})
        await tasks.insert(tx, task)
        await runs.insert(tx, task.id)
        run = await runs.claim(tx, task.id, "worker", 1, "host")

    @checkpointer_test(name=type(checkpoints).__name__)
    async def made() -> AsyncGenerator[BaseCheckpointSaver[Any], None]:
        yield checkpoints.saver(task.id, run.epoch)

    report = await validate(made)
    failed = {name: result.failures for name, result in report.results.items() if result.failures}
    assert not failed
    assert report.passed_all_base()
