"""Removes what only a run's going on would need, once its task has ended long enough ago. Events, audit and results stay."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from typing import TYPE_CHECKING

from agent_orchestrator.runtime.checkpoints.port import Checkpoints
from shared.store import marks, runs, steps, tasks
from shared.types import TaskStatus, utcnow

if TYPE_CHECKING:
    from agent_orchestrator.resources import Resources

PRUNE_EVERY_S = 600.0
FAILED_TIMES = 10
"""A failed task keeps its checkpoints so many times longer: a retry goes on from the stage that failed."""
_BATCH = 100
_logger = logging.getLogger(__name__)


async def prune_regularly(resources: Resources, checkpoints: Checkpoints) -> None:
    """Until cancelled. Every worker does it; what one holds the others pass over."""
    while True:
        await asyncio.sleep(PRUNE_EVERY_S)
        try:
            while await prune_finished(resources, checkpoints) == _BATCH:
                await asyncio.sleep(0)
        except Exception as exc:
            _logger.warning("pruning: %s", type(exc).__name__)


async def prune_finished(resources: Resources, checkpoints: Checkpoints) -> int:
    """Prune at most 100 tasks, those that ended first; how many there were."""
    age = timedelta(days=resources.settings.keep_checkpoints_days)
    now = utcnow()
    async with resources.database.connection() as connection:
        due = await tasks.prunable(connection, now - age, now - FAILED_TIMES * age, _BATCH)
    for task_id in due:
        await _prune(resources, checkpoints, task_id)
    return len(due)


async def _prune(resources: Resources, checkpoints: Checkpoints, task_id: str) -> None:
    """Under the run's lock: a retry comes before or after. After it, a failed task is tried again from its beginning."""
    async with resources.database.transaction() as tx:
        run = await runs.lock(tx, task_id)
        task = await tasks.get(tx, task_id)
        if run is None or task is None or not task.status.is_final or run.state == "running":
            return
        await checkpoints.delete([task_id, *(f"{task_id}.{epoch}" for epoch in range(run.epoch + 1))])
        await marks.clear(tx, task_id)
        await steps.clear(tx, task_id)
        await tasks.mark_pruned(tx, task_id)
        if task.status is TaskStatus.FAILED:
            await runs.update(tx, task_id, thread_id=f"{task_id}.{run.epoch}", checkpoint_id=None)
