"""Tasks: the pieces of work people asked for."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import ColumnElement, bindparam, case, func, or_, select, tuple_, union_all
from sqlalchemy import insert as insert_into
from sqlalchemy import update as update_table
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import ReturningUpdate

from shared.errors import NotFoundError
from shared.store.records import Task
from shared.store.rows import assignments, bound, columns, decode_cursor, field_values, page, to_record, to_records, to_row
from shared.store.tables import tasks
from shared.types import Json, TaskStatus, utcnow

_COLUMNS = columns(Task, tasks)
_MINE = tasks.c.id == bindparam("task")
_GET = select(*_COLUMNS).where(_MINE)
_REMARKS = select(tasks.c.request["messages"]).where(_MINE)
_SHORTEST_FRAGMENT = 4


@lru_cache(maxsize=256)
def _changing(names: tuple[str, ...]) -> ReturningUpdate[Any]:
    return update_table(tasks).where(_MINE).values(assignments(names)).returning(*_COLUMNS)


async def insert(tx: AsyncConnection, task: Task) -> Task:
    await tx.execute(insert_into(tasks), to_row(task))
    return task


async def get(tx: AsyncConnection, id: str) -> Task | None:
    return to_record(Task, (await tx.execute(_GET, {"task": id})).first())


async def lock(tx: AsyncConnection, id: str) -> Task | None:
    """The task, held until the end of the transaction. Where the run's row is locked too, lock that one first."""
    return to_record(Task, (await tx.execute(select(*_COLUMNS).where(tasks.c.id == id).with_for_update(key_share=True))).first())


async def update(tx: AsyncConnection, id: str, **fields: Any) -> Task:
    """Change fields and set `updated_at`; `NotFoundError` when there is no such task."""
    values = field_values(Task, {"updated_at": utcnow(), **fields})
    task = to_record(Task, (await tx.execute(_changing(tuple(values)), {"task": id, **bound(values)})).first())
    if task is None:
        raise NotFoundError(f"There is no task {id}.")
    return task


async def remarks(tx: AsyncConnection, id: str) -> list[Json]:
    """What people told the task while it ran, oldest first: {by, text}."""
    return (await tx.execute(_REMARKS, {"task": id})).scalar_one_or_none() or []


async def list_(
    tx: AsyncConnection,
    *,
    user_id: str | None = None,
    project_id: str | None = None,
    session_id: str | None = None,
    status: str | Collection[str] | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> tuple[list[Task], str | None]:
    """Newest first, and the cursor of the next page. `status` is one status or several."""
    wanted: list[ColumnElement[bool]] = []
    for column, value in ((tasks.c.user_id, user_id), (tasks.c.project_id, project_id), (tasks.c.session_id, session_id)):
        if value is not None:
            wanted.append(column == value)
    if cursor:
        wanted.append(tuple_(tasks.c.created_at, tasks.c.id) < tuple_(*decode_cursor(cursor, datetime, str)))
    if status is not None:
        wanted.append(_newest_of([str(status)] if isinstance(status, str) else [str(one) for one in status], wanted, limit))
    query = select(*_COLUMNS).where(*wanted).order_by(tasks.c.created_at.desc(), tasks.c.id.desc()).limit(limit + 1)
    return page(to_records(Task, await tx.execute(query)), limit, "created_at", "id")


def _newest_of(statuses: Collection[str], wanted: Sequence[ColumnElement[bool]], limit: int) -> ColumnElement[bool]:
    """One of `statuses`. Several are looked up one by one: no index gives them in order together."""
    if len(statuses) == 1:
        return tasks.c.status == next(iter(statuses))
    parts = [
        select(tasks.c.id).where(*wanted, tasks.c.status == one).order_by(tasks.c.created_at.desc(), tasks.c.id.desc()).limit(limit + 1)
        for one in statuses
    ]
    return tasks.c.id.in_(select(union_all(*(part.subquery().select() for part in parts)).subquery()))


async def prunable(tx: AsyncConnection, ended_before: datetime, failed_before: datetime, limit: int) -> list[str]:
    """Tasks that ended before `ended_before` (failed ones: `failed_before`) and were not pruned since, the first ended first."""
    unpruned = or_(tasks.c.pruned_at.is_(None), tasks.c.pruned_at < tasks.c.finished_at)
    old = or_(tasks.c.status != TaskStatus.FAILED.value, tasks.c.finished_at < failed_before)
    query = select(tasks.c.id).where(tasks.c.finished_at.is_not(None), unpruned, tasks.c.finished_at < ended_before, old)
    return list((await tx.execute(query.order_by(tasks.c.finished_at).limit(limit))).scalars())


async def mark_pruned(tx: AsyncConnection, id: str) -> None:
    await tx.execute(update_table(tasks).where(tasks.c.id == id).values(pruned_at=utcnow()))


async def find(tx: AsyncConnection, text: str, user_id: str | None) -> list[Task]:
    """Tasks a person may mean by `text`: the one with that id, else up to 10 whose id starts or ends with it (4 characters at least)."""
    text = text.strip().lower().replace("\x00", "")
    name = text.removeprefix("task_")
    if not name:
        return []
    match: ColumnElement[bool] = tasks.c.id.in_([text, f"task_{name}"])
    if len(name) >= _SHORTEST_FRAGMENT:
        match = or_(
            match, tasks.c.id.startswith(f"task_{name}", autoescape=True), func.reverse(tasks.c.id).startswith(name[::-1], autoescape=True)
        )
    exact_first = case((tasks.c.id.in_([text, f"task_{name}"]), 0), else_=1)
    query = select(*_COLUMNS).where(match).order_by(exact_first, tasks.c.created_at.desc()).limit(10)
    if user_id is not None:
        query = query.where(tasks.c.user_id == user_id)
    found = to_records(Task, await tx.execute(query))
    exact = [task for task in found if task.id in (text, f"task_{name}")]
    return exact[:1] or found
