"""Runs: a stale writer changes nothing."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text

from shared.errors import FencedError, NotFoundError
from shared.store import runs, tasks
from shared.store.database import Database
from shared.store.records import Run, Task
from shared.types import new_id


@pytest.fixture
async def task_id(database: Database) -> str:
    task = Task(id=new_id("task"), user_id="local", title="t", prompt="p", repo="/r")
    async with database.transaction() as tx:
        await tasks.insert(tx, task)
        await runs.insert(tx, task.id)
    return task.id


async def _claim(database: Database, task_id: str) -> Run:
    async with database.transaction() as tx:
        return await runs.claim(tx, task_id, "worker", 1, "host")


async def test_each_claim_is_a_new_epoch(database: Database, task_id: str) -> None:
    claimed = await asyncio.gather(*(_claim(database, task_id) for _ in range(8)))
    assert sorted(run.epoch for run in claimed) == list(range(1, 9))
    assert {run.state for run in claimed} == {"running"}


async def test_a_stale_epoch_is_fenced_everywhere(database: Database, task_id: str) -> None:
    await _claim(database, task_id)
    await _claim(database, task_id)
    async with database.transaction() as tx:
        for write in (runs.check(tx, task_id, 1), runs.finish(tx, task_id, 1, "ended")):
            with pytest.raises(FencedError):
                await write
        await runs.check(tx, task_id, 2)
        assert (await runs.finish(tx, task_id, 2, "idle", checkpoint_id="c")).worker is None
        with pytest.raises(FencedError):
            await runs.check(tx, task_id, 2)


async def test_a_claim_waits_for_a_writer_that_was_checked(database: Database, task_id: str) -> None:
    await _claim(database, task_id)
    async with database.transaction() as tx:
        await runs.check(tx, task_id, 1)
        claiming = asyncio.create_task(_claim(database, task_id))
        await asyncio.sleep(0.1)
        assert not claiming.done()
    assert (await claiming).epoch == 2


async def test_what_is_held_and_cancelling(database: Database, task_id: str) -> None:
    run = await _claim(database, task_id)
    async with database.transaction() as tx:
        assert await runs.held(tx, {task_id: run.epoch}) == {task_id: False}
        assert await runs.held(tx, {task_id: run.epoch - 1, "task_nobody": 1}) == {}
        assert await runs.request_cancel(tx, "task_nobody") is None
        await runs.request_cancel(tx, task_id)
        assert await runs.held(tx, {task_id: run.epoch}) == {task_id: True}
        assert (await runs.update(tx, task_id, cancel_requested=False, poison_count=2)).poison_count == 2
        with pytest.raises(NotFoundError):
            await runs.claim(tx, "task_nobody", "w", 1, "h")


async def test_a_run_that_nothing_stands_for_is_found(database: Database, task_id: str) -> None:
    await _claim(database, task_id)
    async with database.transaction() as tx:
        assert [run.task_id for run in await runs.without_job(tx)] == [task_id]
        await tx.execute(
            text("INSERT INTO procrastinate_jobs (queue_name, task_name, lock) VALUES ('runs', 'persevere.run', :task)"), {"task": task_id}
        )
        assert await runs.without_job(tx) == []
