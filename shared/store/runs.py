"""Runs: who works on a task right now. `epoch` is the fencing token: a writer with an older one changes nothing.

Lock order: a transaction that touches a run and its task takes the run first.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Literal

from sqlalchemy import func, select
from sqlalchemy import insert as insert_into
from sqlalchemy import update as update_table
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.errors import FencedError, NotFoundError
from shared.store.records import Run
from shared.store.rows import columns, field_values, to_record, to_records, to_row
from shared.store.tables import runs

_COLUMNS = columns(Run, runs)


def _fenced(task_id: str, epoch: int) -> FencedError:
    return FencedError(f"Run {epoch} of {task_id} no longer owns the task; nothing was written.")


async def insert(tx: AsyncConnection, task_id: str) -> Run:
    """The run row of a new task; its LangGraph thread has the task's id."""
    run = Run(task_id=task_id, thread_id=task_id)
    await tx.execute(insert_into(runs), to_row(run))
    return run


async def get(tx: AsyncConnection, task_id: str) -> Run | None:
    return to_record(Run, (await tx.execute(select(*_COLUMNS).where(runs.c.task_id == task_id))).first())


async def lock(tx: AsyncConnection, task_id: str) -> Run | None:
    """The run, held until the end of the transaction."""
    found = select(*_COLUMNS).where(runs.c.task_id == task_id).with_for_update(key_share=True)
    return to_record(Run, (await tx.execute(found)).first())


async def claim(tx: AsyncConnection, task_id: str, worker: str, pid: int, host: str) -> Run:
    """Take the run: a new epoch and attempt, state running. Whoever had it before is fenced from here on."""
    taken = (
        update_table(runs)
        .where(runs.c.task_id == task_id)
        .values(
            epoch=runs.c.epoch + 1,
            attempt=runs.c.attempt + 1,
            state="running",
            worker=worker,
            worker_pid=pid,
            worker_host=host,
            heartbeat_at=func.clock_timestamp(),
        )
        .returning(*_COLUMNS)
    )
    run = to_record(Run, (await tx.execute(taken)).first())
    if run is None:
        raise NotFoundError(f"There is no run of {task_id}.")
    return run


async def check(tx: AsyncConnection, task_id: str, epoch: int) -> None:
    """Hold the run for this transaction; `FencedError` unless it is running under `epoch`."""
    found = select(runs.c.epoch, runs.c.state).where(runs.c.task_id == task_id).with_for_update(key_share=True)
    row = (await tx.execute(found)).first()
    if row is None or row.epoch != epoch or row.state != "running":
        raise _fenced(task_id, epoch)


async def _update_owned(tx: AsyncConnection, task_id: str, epoch: int, values: dict[str, Any]) -> Run:
    owned = runs.c.task_id == task_id, runs.c.epoch == epoch, runs.c.state == "running"
    run = to_record(Run, (await tx.execute(update_table(runs).where(*owned).values(values).returning(*_COLUMNS))).first())
    if run is None:
        raise _fenced(task_id, epoch)
    return run


async def finish(tx: AsyncConnection, task_id: str, epoch: int, state: Literal["idle", "queued", "ended"], **fields: Any) -> Run:
    """Let go of the run; `FencedError` when it is no longer ours."""
    values = field_values(Run, {"state": state, "worker": None, "worker_pid": None, "worker_host": None, **fields})
    return await _update_owned(tx, task_id, epoch, values)


async def heartbeat(tx: AsyncConnection, task_id: str, epoch: int) -> Run:
    """Say that the run is alive; the row says whether a cancel was requested. `FencedError` when it is no longer ours."""
    return await _update_owned(tx, task_id, epoch, {"heartbeat_at": func.clock_timestamp()})


async def update(tx: AsyncConnection, task_id: str, **fields: Any) -> Run:
    """Change fields without a fence: for those who hold the row or have no run."""
    changed = update_table(runs).where(runs.c.task_id == task_id).values(field_values(Run, fields)).returning(*_COLUMNS)
    run = to_record(Run, (await tx.execute(changed)).first())
    if run is None:
        raise NotFoundError(f"There is no run of {task_id}.")
    return run


async def stale(tx: AsyncConnection, older_than_s: float) -> list[Run]:
    """Running runs without a heartbeat for so many seconds, by the database's clock; the longest silent first."""
    limit = func.clock_timestamp() - timedelta(seconds=older_than_s)
    query = select(*_COLUMNS).where(runs.c.state == "running", runs.c.heartbeat_at < limit).order_by(runs.c.heartbeat_at)
    return to_records(Run, await tx.execute(query))


async def request_cancel(tx: AsyncConnection, task_id: str) -> Run | None:
    """Ask the run to stop; None when there is no run."""
    changed = update_table(runs).where(runs.c.task_id == task_id).values(cancel_requested=True).returning(*_COLUMNS)
    return to_record(Run, (await tx.execute(changed)).first())
