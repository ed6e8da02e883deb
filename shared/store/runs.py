"""Runs: who works on a task right now. `epoch` is the fencing token: a writer with an older one changes nothing.

Lock order: a transaction that touches a run and its task takes the run first.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Literal

from sqlalchemy import bindparam, func, select, text
from sqlalchemy import insert as insert_into
from sqlalchemy import update as update_table
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import ReturningUpdate

from shared.errors import FencedError, NotFoundError
from shared.store.records import Run
from shared.store.rows import assignments, bound, columns, field_values, to_record, to_records, to_row
from shared.store.tables import runs, tasks

_COLUMNS = columns(Run, runs)
_MINE = runs.c.task_id == bindparam("run")
_GET = select(*_COLUMNS).where(_MINE)
_LOCK = _GET.with_for_update(key_share=True)
_CHECK = select(runs.c.epoch, runs.c.state).where(_MINE).with_for_update(key_share=True)
_CLAIM = (
    update_table(runs)
    .where(_MINE)
    .values(
        epoch=runs.c.epoch + 1,
        attempt=runs.c.attempt + 1,
        state="running",
        heartbeat_at=func.clock_timestamp(),
        **assignments(("worker", "worker_pid", "worker_host")),
    )
    .returning(*_COLUMNS)
)


@lru_cache(maxsize=64)
def _changing(names: tuple[str, ...]) -> ReturningUpdate[Any]:
    return update_table(runs).where(_MINE).values(assignments(names)).returning(*_COLUMNS)


@lru_cache(maxsize=64)
def _changing_owned(names: tuple[str, ...]) -> ReturningUpdate[Any]:
    return _changing(names).where(runs.c.epoch == bindparam("owned_epoch"), runs.c.state == "running")


def _fenced(task_id: str, epoch: int) -> FencedError:
    return FencedError(f"Run {epoch} of {task_id} no longer owns the task; nothing was written.")


async def insert(tx: AsyncConnection, task_id: str, *, priority: int = 10) -> Run:
    """The run row of a new task; its LangGraph thread has the task's id. Runs of a higher `priority` start first."""
    run = Run(task_id=task_id, thread_id=task_id, priority=priority)
    await tx.execute(insert_into(runs), to_row(run))
    return run


async def get(tx: AsyncConnection, task_id: str) -> Run | None:
    return to_record(Run, (await tx.execute(_GET, {"run": task_id})).first())


async def lock(tx: AsyncConnection, task_id: str) -> Run | None:
    """The run, held until the end of the transaction."""
    return to_record(Run, (await tx.execute(_LOCK, {"run": task_id})).first())


async def claim(tx: AsyncConnection, task_id: str, worker: str, pid: int, host: str) -> Run:
    """Take the run: a new epoch and attempt, state running. Whoever had it before is fenced from here on."""
    who = bound({"worker": worker, "worker_pid": pid, "worker_host": host})
    run = to_record(Run, (await tx.execute(_CLAIM, {"run": task_id, **who})).first())
    if run is None:
        raise NotFoundError(f"There is no run of {task_id}.")
    return run


async def check(tx: AsyncConnection, task_id: str, epoch: int) -> None:
    """Hold the run for this transaction; `FencedError` unless it is running under `epoch`."""
    row = (await tx.execute(_CHECK, {"run": task_id})).first()
    if row is None or row.epoch != epoch or row.state != "running":
        raise _fenced(task_id, epoch)


async def _update_owned(tx: AsyncConnection, task_id: str, epoch: int, values: dict[str, Any]) -> Run:
    given = {"run": task_id, "owned_epoch": epoch, **bound(values)}
    run = to_record(Run, (await tx.execute(_changing_owned(tuple(values)), given)).first())
    if run is None:
        raise _fenced(task_id, epoch)
    return run


async def finish(tx: AsyncConnection, task_id: str, epoch: int, state: Literal["idle", "queued", "ended"], **fields: Any) -> Run:
    """Let go of the run; `FencedError` when it is no longer ours."""
    values = field_values(Run, {"state": state, "worker": None, "worker_pid": None, "worker_host": None, **fields})
    return await _update_owned(tx, task_id, epoch, values)


async def update(tx: AsyncConnection, task_id: str, **fields: Any) -> Run:
    """Change fields without a fence: for those who hold the row or have no run."""
    values = field_values(Run, fields)
    run = to_record(Run, (await tx.execute(_changing(tuple(values)), {"run": task_id, **bound(values)})).first())
    if run is None:
        raise NotFoundError(f"There is no run of {task_id}.")
    return run


async def lock_user(tx: AsyncConnection, user_id: str) -> None:
    """Whoever counts a user's runs, or ends one, goes one after the other until the end of the transaction. Taken after the run's row."""
    await tx.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"runs of {user_id}", 0))))


async def running_of(tx: AsyncConnection, user_id: str) -> int:
    """How many runs of a user's tasks go on now."""
    count = select(func.count()).select_from(runs.join(tasks)).where(runs.c.state == "running", tasks.c.user_id == user_id)
    return int((await tx.execute(count)).scalar_one())


async def next_queued(tx: AsyncConnection, user_id: str) -> Run | None:
    """The user's run that waits for room first: higher priority, then older. Held until the end of the transaction."""
    waiting = select(*_COLUMNS).select_from(runs.join(tasks)).where(runs.c.state == "queued", tasks.c.user_id == user_id)
    first = waiting.order_by(runs.c.priority.desc(), tasks.c.created_at).limit(1).with_for_update(of=runs, key_share=True, skip_locked=True)
    return to_record(Run, (await tx.execute(first)).first())


async def users_waiting(tx: AsyncConnection) -> list[str]:
    """The users who have runs that wait for room."""
    query = select(tasks.c.user_id).select_from(runs.join(tasks)).where(runs.c.state == "queued").distinct()
    return list((await tx.execute(query)).scalars())


async def without_job(tx: AsyncConnection) -> list[Run]:
    """Running runs that no job of the queue stands for."""
    jobless = "NOT EXISTS (SELECT 1 FROM procrastinate_jobs job WHERE job.lock = runs.task_id AND job.status IN ('todo', 'doing'))"
    return to_records(Run, await tx.execute(select(*_COLUMNS).where(runs.c.state == "running", text(jobless))))


async def held(tx: AsyncConnection, epochs: dict[str, int]) -> dict[str, bool]:
    """Of the given task ids and epochs those that still run under it, and whether their cancel was requested."""
    query = select(runs.c.task_id, runs.c.epoch, runs.c.cancel_requested).where(runs.c.task_id.in_(epochs), runs.c.state == "running")
    return {row.task_id: row.cancel_requested for row in await tx.execute(query) if epochs[row.task_id] == row.epoch}


async def request_cancel(tx: AsyncConnection, task_id: str) -> Run | None:
    """Ask the run to stop; None when there is no run."""
    changed = update_table(runs).where(runs.c.task_id == task_id).values(cancel_requested=True).returning(*_COLUMNS)
    return to_record(Run, (await tx.execute(changed)).first())
