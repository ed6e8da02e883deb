"""Marks: which parts of a run are in the record already, so that a step that is repeated after a kill says nothing twice."""

from __future__ import annotations

from sqlalchemy import bindparam, delete
from sqlalchemy.dialects.postgresql import insert as insert_into
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.store.tables import marks

_SET = insert_into(marks).values(task_id=bindparam("task"), mark=bindparam("named")).on_conflict_do_nothing().returning(marks.c.mark)


async def first_time(tx: AsyncConnection, task_id: str, mark: str) -> bool:
    """Set the mark; False when an earlier, committed transaction set it."""
    return (await tx.execute(_SET, {"task": task_id, "named": mark})).first() is not None


async def clear(tx: AsyncConnection, task_id: str) -> None:
    """Forget the marks: what comes next is a new part of the story, even where it repeats a step."""
    await tx.execute(delete(marks).where(marks.c.task_id == task_id))
