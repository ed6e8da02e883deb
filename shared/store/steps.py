"""Steps: what the loop of an agent needs to go on after an interruption. A task has those of one piece of work at a time."""

from __future__ import annotations

from sqlalchemy import bindparam, delete, func, select
from sqlalchemy import insert as insert_into
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.store.tables import steps

_MINE = steps.c.task_id == bindparam("task")
_READ = select(steps.c.data).where(_MINE, steps.c.piece == bindparam("of")).order_by(steps.c.number)
_ADD = insert_into(steps).values(
    task_id=bindparam("task"), number=bindparam("at"), piece=bindparam("of"), data=bindparam("content", type_=steps.c.data.type)
)
_CLEAR = delete(steps).where(_MINE)
_COUNT = select(func.count(), func.coalesce(func.sum(func.length(steps.c.data)), 0)).where(_MINE)


async def read(tx: AsyncConnection, task_id: str, piece: str) -> list[bytes]:
    """What was added for the piece, in order."""
    return list((await tx.execute(_READ, {"task": task_id, "of": piece})).scalars())


async def add(tx: AsyncConnection, task_id: str, piece: str, number: int, data: bytes) -> None:
    """`number` counts from 1; the first one of a piece needs `clear` before it."""
    await tx.execute(_ADD, {"task": task_id, "of": piece, "at": number, "content": data})


async def clear(tx: AsyncConnection, task_id: str) -> None:
    await tx.execute(_CLEAR, {"task": task_id})


async def size(tx: AsyncConnection, task_id: str) -> tuple[int, int]:
    """How many steps a task has and their bytes."""
    count, total = (await tx.execute(_COUNT, {"task": task_id})).one()
    return int(count), int(total)
