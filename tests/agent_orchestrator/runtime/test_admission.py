"""Who may run now."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text

from agent_orchestrator.resources import Resources, open_resources
from agent_orchestrator.runtime.admission import admit_next, admit_waiting, claim
from agent_orchestrator.runtime.endings import hand_over
from agent_orchestrator.runtime.lease import Lease
from agent_orchestrator.runtime.worker import adopt
from agent_orchestrator.tasks.service import TaskDraft, TaskService
from config.settings import Settings
from shared.store import runs
from shared.store.records import Run, Task


@pytest.fixture
def settings(settings: Settings) -> Settings:
    return settings.model_copy(update={"worker_runs_per_user": 2})


async def _task(resources: Resources, user_id: str = "local", priority: str = "interactive") -> str:
    draft = TaskDraft(user_id=user_id, prompt="p", title="t", repo="/r", workflow="refactor", request={"priority": priority})
    async with resources.database.transaction() as tx:
        return (await TaskService(resources).create(tx, draft)).id


async def _run(resources: Resources, task_id: str) -> Run:
    async with resources.database.connection() as connection:
        run = await runs.get(connection, task_id)
    assert run is not None
    return run


async def _jobs(resources: Resources) -> list[tuple[str, int]]:
    async with resources.database.connection() as connection:
        rows = await connection.execute(text("SELECT lock, priority FROM procrastinate_jobs WHERE status = 'todo' ORDER BY id"))
        return [(row.lock, row.priority) for row in rows]


def _lease(resources: Resources, claimed: tuple[Task, Run] | None) -> Lease:
    assert claimed is not None
    task, run = claimed
    return Lease(resources.database, task.id, run.epoch, run.thread_id, lambda tx: admit_next(resources, tx, task.user_id))


async def _drop_jobs(resources: Resources) -> None:
    async with resources.database.transaction() as tx:
        await tx.execute(text("DELETE FROM procrastinate_jobs"))


async def test_no_more_runs_of_a_user_than_allowed_however_many_ask_at_once(resources: Resources) -> None:
    mine = [await _task(resources) for _ in range(10)]
    other = await _task(resources, "somebody else")
    claimed = await asyncio.gather(*(claim(resources, task_id) for task_id in mine))
    assert sum(one is not None for one in claimed) == 2
    assert await claim(resources, other) is not None
    assert sorted([(await _run(resources, task_id)).state for task_id in mine]) == ["queued"] * 8 + ["running"] * 2


async def test_a_run_that_lets_go_lets_the_next_one_in_interactive_first(resources: Resources) -> None:
    first = await claim(resources, await _task(resources))
    await claim(resources, await _task(resources))
    batch, person = await _task(resources, priority="batch"), await _task(resources)
    assert await claim(resources, batch) is None
    assert await claim(resources, person) is None
    await _drop_jobs(resources)
    lease = _lease(resources, first)
    async with lease.transaction() as tx:
        await lease.let_go(tx, "idle")
    assert await _jobs(resources) == [(person, 10)]
    last = _lease(resources, await claim(resources, person))
    await _drop_jobs(resources)
    async with last.transaction() as tx:
        await last.let_go(tx, "ended")
    assert await _jobs(resources) == [(batch, 0)]


async def test_a_run_that_was_reclaimed_keeps_its_room(resources: Resources) -> None:
    task_ids = [await _task(resources) for _ in range(3)]
    for task_id in task_ids:
        await claim(resources, task_id)
    again = await claim(resources, task_ids[0])
    assert again is not None
    assert (again[1].epoch, again[1].poison_count) == (2, 1)


async def test_who_waits_although_there_is_room_is_let_in(resources: Resources, settings: Settings) -> None:
    task_ids = [await _task(resources) for _ in range(4)]
    for task_id in task_ids:
        await claim(resources, task_id)
    await _drop_jobs(resources)
    async with resources.database.transaction() as tx:
        assert await admit_waiting(resources, tx) == 0
        await tx.execute(text("UPDATE runs SET state = 'ended' WHERE task_id = :task"), {"task": task_ids[0]})
        assert await admit_waiting(resources, tx) == 1
    assert [task for task, _ in await _jobs(resources)] == [task_ids[2]]
    unlimited = settings.model_copy(update={"worker_runs_per_user": 0})
    async with open_resources(unlimited, worker=False) as others, others.database.transaction() as tx:
        assert await admit_waiting(others, tx) == 1


async def test_a_running_run_without_a_job_gets_one_when_it_was_seen_twice(resources: Resources) -> None:
    task_id = await _task(resources)
    await claim(resources, task_id)
    await _drop_jobs(resources)
    async with resources.database.transaction() as tx:
        suspects = await adopt(resources, tx, {})
    assert (suspects, await _jobs(resources)) == ({task_id: 1}, [])
    async with resources.database.transaction() as tx:
        await adopt(resources, tx, suspects)
    assert await _jobs(resources) == [(task_id, 10)]


async def test_a_hand_over_frees_the_job_and_the_lease_in_one_moment(resources: Resources) -> None:
    task_id = await _task(resources)
    lease = _lease(resources, await claim(resources, task_id))
    async with resources.database.transaction() as tx:
        await tx.execute(text("UPDATE procrastinate_jobs SET status = 'doing'"))
    await hand_over(lease, resources.jobs)
    assert (await _run(resources, task_id)).state == "idle"
    assert await _jobs(resources) == [(task_id, 10)]
    assert resources.jobs.handed_over == 1
