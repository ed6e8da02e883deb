"""Effects: what is done outside, recorded before and after, so that it is not done twice."""

from __future__ import annotations

from sqlalchemy import func, select
from sqlalchemy import update as update_table
from sqlalchemy.dialects.postgresql import insert as insert_into
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.errors import ConflictError, NotFoundError
from shared.store.records import Effect
from shared.store.rows import clean, columns, to_records
from shared.store.tables import effects
from shared.types import Json

_COLUMNS = columns(Effect, effects)


async def intend(tx: AsyncConnection, task_id: str, key: str, kind: str, intent: Json) -> Json | None:
    """Record the intent; the stored result when it was done before, else None (do it, after looking whether a crash left it done).

    `ConflictError` when the key belongs to another task or kind. Commit before doing it.
    """
    fresh = insert_into(effects).values(key=key, task_id=task_id, kind=kind, state="intended", intent=clean(intent))
    if (await tx.execute(fresh.on_conflict_do_nothing(index_elements=["key"]).returning(effects.c.key))).first():
        return None
    row = (await tx.execute(select(effects.c.task_id, effects.c.kind, effects.c.state, effects.c.result).where(effects.c.key == key))).one()
    if (row.task_id, row.kind) != (task_id, kind):
        raise ConflictError(f"The effect {key} belongs to another task.", code="effect_key_reused")
    if row.state == "done":
        return dict(row.result or {})
    return None


async def done(tx: AsyncConnection, key: str, result: Json) -> None:
    """Record the result; the first one stays. `NotFoundError` when nothing was intended under the key."""
    mine = effects.c.key == key
    values = {"state": "done", "result": clean(result), "done_at": func.clock_timestamp()}
    if (await tx.execute(update_table(effects).where(mine, effects.c.state == "intended").values(values))).rowcount:
        return
    if (await tx.execute(select(effects.c.key).where(mine))).first() is None:
        raise NotFoundError(f"There is no effect {key}.")


async def for_task(tx: AsyncConnection, task_id: str) -> list[Effect]:
    """A task's effects, oldest first."""
    query = select(*_COLUMNS).where(effects.c.task_id == task_id).order_by(effects.c.created_at, effects.c.key)
    return to_records(Effect, await tx.execute(query))
