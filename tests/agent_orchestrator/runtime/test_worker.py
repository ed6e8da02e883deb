"""A worker that is opened and closed at any moment."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

from sqlalchemy import text

from agent_orchestrator.resources import Resources
from agent_orchestrator.runtime.host import host_id
from agent_orchestrator.runtime.worker import open_run_worker
from shared import metrics
from tests.agent_orchestrator.runtime.driving import submit, waiting


async def test_a_worker_ends_whenever_it_is_asked(resources: Resources) -> None:
    async def open_and_close(pause: float) -> None:
        async with open_run_worker(resources):
            await asyncio.sleep(pause)

    for _ in range(20):
        async with asyncio.timeout(20):
            await open_and_close(random.choice([0, 0, 0.001, 0.01, 0.05]))


def _reclaimed() -> float:
    lines = metrics.render().decode().splitlines()
    return sum(float(line.split()[-1]) for line in lines if "runs_reclaimed_total" in line and not line.startswith("#"))


async def test_what_a_dead_process_left_is_taken_over_and_counted(resources: Resources, repository: Path) -> None:
    task = await submit(resources, repository)
    async with resources.database.transaction() as tx:
        worker = (await tx.execute(text("SELECT * FROM procrastinate_register_worker_v1()"))).scalar_one()
        dead = {"worker": worker, "host": host_id()}
        await tx.execute(text("INSERT INTO workers (id, name, host) VALUES (:worker, '1-1', :host)"), dead)
        await tx.execute(text("UPDATE procrastinate_jobs SET status = 'doing', worker_id = :worker"), dead)
    before = _reclaimed()
    async with open_run_worker(resources) as serving:
        await waiting(resources, task.id, 20)
        assert serving.reclaimed == 1
    assert _reclaimed() - before == 1
