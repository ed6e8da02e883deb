"""Steps: what the loop of an agent needs to go on after an interruption. A task has those of one piece of work at a time."""

from __future__ import annotations

from sqlalchemy import bindparam, delete, func, select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.errors import FencedError
from shared.store.tables import steps

_MINE = steps.c.task_id == bindparam("task")
_READ = select(steps.c.data).where(_MINE, steps.c.piece == bindparam("of")).order_by(steps.c.number)
_ADD = text(
    "INSERT INTO steps (task_id, number, piece, data) "
    "SELECT task_id, :number, :piece, :content FROM runs, (SELECT set_config('synchronous_commit', 'off', true)) AS lightly "
    "WHERE task_id = :task AND epoch = :epoch AND state = 'running' FOR SHARE OF runs RETURNING number"
)
"""Not waited for: what a crash of the database's machine loses is done again. Nothing after it can stay without it."""
_CLEAR = delete(steps).where(_MINE)
_COUNT = select(func.count(), func.coalesce(func.sum(func.length(steps.c.data)), 0)).where(_MINE)


async def read(tx: AsyncConnection, task_id: str, piece: str) -> list[bytes]:
    """What was added for the piece, in order."""
    return list((await tx.execute(_READ, {"task": task_id, "of": piece})).scalars())


async def add(tx: AsyncConnection, task_id: str, epoch: int, piece: str, number: int, data: bytes) -> None:
    """Add a step to its piece, of which there are some. `FencedError` unless the task runs under `epoch`.

    A statement that needs no transaction around it.
    """
    given = {"task": task_id, "epoch": epoch, "piece": piece, "number": number, "content": data}
    if (await tx.execute(_ADD, given)).first() is None:
        raise FencedError(f"Run {epoch} of {task_id} no longer owns the task; the step was not kept.")


async def clear(tx: AsyncConnection, task_id: str) -> None:
    await tx.execute(_CLEAR, {"task": task_id})


async def size(tx: AsyncConnection, task_id: str) -> tuple[int, int]:
    """How many steps a task has and their bytes."""
    count, total = (await tx.execute(_COUNT, {"task": task_id})).one()
    return int(count), int(total)
