"""Who may run now: one run a task, and so many of one user. A run that has to wait is `queued`, without a job until there is room."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from sqlalchemy.ext.asyncio import AsyncConnection

from agent_orchestrator.runtime.host import host_id, worker_id
from shared.store import runs, tasks
from shared.store.records import Run, Task

if TYPE_CHECKING:
    from agent_orchestrator.resources import Resources


async def claim(resources: Resources, task_id: str) -> tuple[Task, Run] | None:
    """Take the task's run for this process; None when there is nothing to do, or no room (it is told when there is)."""
    limit = resources.settings.worker_runs_per_user
    async with resources.database.transaction() as tx:
        before = await runs.lock(tx, task_id)
        task = await tasks.get(tx, task_id)
        if before is None or task is None or task.status.is_final:
            return None
        if limit and before.state != "running" and not before.cancel_requested:
            await runs.lock_user(tx, task.user_id)
            if await runs.running_of(tx, task.user_id) >= limit:
                await runs.update(tx, task_id, state="queued")
                return None
        run = await runs.claim(tx, task_id, worker_id(), os.getpid(), host_id())
        if before.state == "running":
            run = await runs.update(tx, task_id, poison_count=run.poison_count + 1)
    return task, run


async def admit_next(resources: Resources, tx: AsyncConnection, user_id: str) -> str | None:
    """Enqueue the user's next waiting run; its task. Called by a run that lets go, in its transaction and before it does."""
    if not resources.settings.worker_runs_per_user:
        return None
    await runs.lock_user(tx, user_id)
    return await _admit(resources, tx, user_id)


async def _admit(resources: Resources, tx: AsyncConnection, user_id: str) -> str | None:
    waiting = await runs.next_queued(tx, user_id)
    if waiting is not None:
        await runs.update(tx, waiting.task_id, state="idle")
        await resources.jobs.enqueue(tx, waiting.task_id, priority=waiting.priority)
    return waiting.task_id if waiting is not None else None


async def admit_waiting(resources: Resources, tx: AsyncConnection) -> int:
    """Let in runs that wait although there is room: whoever should have done it died, or the limit was raised. How many."""
    limit, count = resources.settings.worker_runs_per_user, 0
    for user_id in await runs.users_waiting(tx):
        await runs.lock_user(tx, user_id)
        room = limit - await runs.running_of(tx, user_id) if limit else None
        while room is None or room > 0:
            if await _admit(resources, tx, user_id) is None:
                break
            count, room = count + 1, None if room is None else room - 1
    return count
