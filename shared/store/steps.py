"""Steps: what the loop of an agent needs to go on after an interruption. A task has those of one piece of work at a time."""

from __future__ import annotations

from sqlalchemy import LargeBinary, bindparam, delete, func, literal, select
from sqlalchemy import insert as insert_into
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.errors import FencedError
from shared.store.tables import runs, steps

_MINE = steps.c.task_id == bindparam("task")
_READ = select(steps.c.data).where(_MINE, steps.c.piece == bindparam("of")).order_by(steps.c.number)
_HELD = (
    select(
        runs.c.task_id,
        bindparam("at", type_=steps.c.number.type),
        bindparam("of", type_=steps.c.piece.type),
        bindparam("content", type_=LargeBinary()),
    )
    .where(runs.c.task_id == bindparam("task"), runs.c.epoch == bindparam("epoch"), runs.c.state == "running")
    .with_for_update(key_share=True)
)
_ADD = insert_into(steps).from_select(["task_id", "number", "piece", "data"], _HELD).returning(literal(1))
_CLEAR = delete(steps).where(_MINE)
_COUNT = select(func.count(), func.coalesce(func.sum(func.length(steps.c.data)), 0)).where(_MINE)


async def read(tx: AsyncConnection, task_id: str, piece: str) -> list[bytes]:
    """What was added for the piece, in order."""
    return list((await tx.execute(_READ, {"task": task_id, "of": piece})).scalars())


async def add(tx: AsyncConnection, task_id: str, epoch: int, piece: str, number: int, data: bytes) -> None:
    """`number` counts from 1; the first one of a piece needs `clear` before it. `FencedError` unless the task runs under `epoch`.

    One statement that needs no transaction around it.
    """
    given = {"task": task_id, "epoch": epoch, "of": piece, "at": number, "content": data}
    if (await tx.execute(_ADD, given)).first() is None:
        raise FencedError(f"Run {epoch} of {task_id} no longer owns the task; the step was not kept.")


async def clear(tx: AsyncConnection, task_id: str) -> None:
    await tx.execute(_CLEAR, {"task": task_id})


async def size(tx: AsyncConnection, task_id: str) -> tuple[int, int]:
    """How many steps a task has and their bytes."""
    count, total = (await tx.execute(_COUNT, {"task": task_id})).one()
    return int(count), int(total)
