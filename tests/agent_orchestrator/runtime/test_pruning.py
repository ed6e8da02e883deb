"""Growth: finished threads are pruned, what can still be continued is not, and a thread does not grow with the square of its steps."""

from __future__ import annotations

from collections.abc import AsyncIterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool
from sqlalchemy import text

from agent_orchestrator.resources import Resources
from agent_orchestrator.runtime.checkpoints.registry import build_checkpoints
from agent_orchestrator.runtime.endings import expire_due
from agent_orchestrator.runtime.pruning import prune_finished
from agent_orchestrator.tasks.service import TaskService
from shared.types import Gate
from tests.agent_orchestrator.conftest import git
from tests.agent_orchestrator.runtime.driving import approve_all, decide, ended, submit, waiting

CHANGE = "replace 'Read' with 'Load' in app.py"
_BYTES = text(
    "SELECT (SELECT coalesce(sum(pg_column_size(c.*)), 0) FROM checkpoints c WHERE starts_with(thread_id, :task))"
    " + (SELECT coalesce(sum(pg_column_size(b.*)), 0) FROM checkpoint_blobs b WHERE starts_with(thread_id, :task))"
    " + (SELECT coalesce(sum(pg_column_size(w.*)), 0) FROM checkpoint_writes w WHERE starts_with(thread_id, :task))"
)
_LARGEST = text(
    "SELECT channel, max(octet_length(blob)) AS size FROM checkpoint_blobs WHERE thread_id = :task GROUP BY channel ORDER BY size DESC"
)


@pytest.fixture
async def pool(postgres_url: str) -> AsyncIterator[AsyncConnectionPool[Any]]:
    kwargs = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
    async with AsyncConnectionPool(postgres_url, min_size=1, max_size=2, kwargs=kwargs, open=False) as opened:
        yield opened


async def _bytes(resources: Resources, task_id: str) -> int:
    async with resources.database.connection() as connection:
        return int((await connection.execute(_BYTES, {"task": task_id})).scalar_one())


async def _age(resources: Resources, task_id: str, days: int) -> None:
    age = f"interval '{days} days'"
    async with resources.database.transaction() as tx:
        await tx.execute(
            text(f"UPDATE tasks SET finished_at = finished_at - {age}, pruned_at = pruned_at - {age} WHERE id = :id"), {"id": task_id}
        )


async def _fail(resources: Resources, repository: Path) -> str:
    """A task whose second question, about the diff, nobody answered."""
    task = await submit(resources, repository, CHANGE)
    await decide(resources, await waiting(resources, task.id), "approve")
    await waiting(resources, task.id)
    async with resources.database.transaction() as tx:
        await tx.execute(text("UPDATE approvals SET expires_at = now() - interval '1 second' WHERE status = 'pending'"))
        assert await expire_due(tx) == 1
    return (await ended(resources, task.id)).id


async def test_a_completed_task_is_pruned_when_it_is_old(working: Resources, pool: AsyncConnectionPool[Any], repository: Path) -> None:
    checkpoints = build_checkpoints("postgres", pool, None)
    done, _ = await approve_all(working, (await submit(working, repository, CHANGE)).id)
    still = await submit(working, repository, CHANGE)
    await waiting(working, still.id)
    assert await prune_finished(working, checkpoints) == 0
    await _age(working, done.id, 8)
    assert await prune_finished(working, checkpoints) == 1
    assert await prune_finished(working, checkpoints) == 0
    assert await _bytes(working, done.id) == 0
    assert await working.feed.read(done.id)
    completed, _ = await approve_all(working, still.id)
    assert completed.outcome == "pull_request"


async def test_a_failed_task_is_kept_longer_and_a_retry_goes_on_from_its_stage(
    working: Resources, pool: AsyncConnectionPool[Any], repository: Path
) -> None:
    checkpoints = build_checkpoints("postgres", pool, None)
    task_id = await _fail(working, repository)
    await _age(working, task_id, 8)
    assert await prune_finished(working, checkpoints) == 0
    assert await _bytes(working, task_id) > 0
    await TaskService(working).retry(task_id, "local")
    again = await waiting(working, task_id)
    assert (again.gate, again.revision) == (Gate.DIFF, 2)


async def test_a_pruned_task_can_be_tried_again_from_its_beginning(
    working: Resources, pool: AsyncConnectionPool[Any], repository: Path
) -> None:
    checkpoints = build_checkpoints("postgres", pool, None)
    task_id = await _fail(working, repository)
    await _age(working, task_id, 71)
    assert await prune_finished(working, checkpoints) == 1
    await TaskService(working).retry(task_id, "local")
    done, asked = await approve_all(working, task_id)
    assert (done.outcome, [item.gate for item in asked]) == ("pull_request", [Gate.PLAN, Gate.DIFF])
    await _age(working, task_id, 8)
    assert await prune_finished(working, checkpoints) == 1
    assert await _bytes(working, task_id) == 0


async def test_revisions_grow_a_thread_by_the_same_amount_each(working: Resources, repository: Path) -> None:
    task = await submit(working, repository, CHANGE)
    sizes: list[int] = []
    for revision in range(12):
        approval = await waiting(working, task.id)
        sizes.append(await _bytes(working, task.id))
        await decide(working, approval, "respond", comment=f"replace 'Read' with 'Load{revision}' in app.py")
    steps = [later - earlier for earlier, later in pairwise(sizes)]
    assert steps[-1] < 1.3 * steps[1], steps
    assert steps[-1] < 40_000, steps


async def test_the_state_refers_to_what_is_large(working: Resources, repository: Path) -> None:
    """A diff of half a megabyte and an edited one are artifacts: no value of a checkpoint holds them."""
    (repository / "large.txt").write_text("".join(f"line {n} Read and read again {'x' * 60}\n" for n in range(4000)))
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "large")
    task = await submit(working, repository, "replace 'Read' with 'Load' in large.txt")
    await decide(working, await waiting(working, task.id), "approve")
    diff = await waiting(working, task.id)
    async with working.database.connection() as connection:
        patch = (await working.artifacts.load(connection, task.id, "change.patch")).decode()
    assert len(patch) > 500_000
    await decide(working, diff, "edit", edited={"patch": patch.replace("Load and", "Loaded and")})
    done, _ = await approve_all(working, task.id)
    assert done.outcome == "pull_request"
    async with working.database.connection() as connection:
        kept = (await connection.execute(_LARGEST, {"task": task.id})).all()
    assert [row for row in kept if row.size > 20_000] == []
