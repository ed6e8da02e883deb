"""Events in PostgreSQL: appended in the transaction of the change, announced at its commit."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import insert as insert_into
from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.errors import NotFoundError
from shared.store.database import ANNOUNCED
from shared.store.records import Event
from shared.store.rows import clean, columns, to_records
from shared.store.tables import events
from shared.types import Json, Stage, utcnow

CHANNEL = "persevere_events"
_COLUMNS = columns(Event, events)
_COUNTED = "WITH counted AS (UPDATE tasks SET event_count = event_count + :more WHERE id = :task RETURNING id, event_count) "
_COUNT = text(f"{_COUNTED} SELECT event_count FROM counted")
_COUNT_AND_ANNOUNCE = text(f"{_COUNTED} SELECT event_count, pg_notify('{CHANNEL}', id || ':' || event_count) FROM counted")


async def append(tx: AsyncConnection, task_id: str, stage: Stage, new: Sequence[tuple[str, Json]]) -> list[Event]:
    """Add (type, data) pairs in order. Numbered from a counter on the task's row, so that writers of one task follow one another.

    `NotFoundError` when there is no such task. Clients hear of them when the transaction commits, and never if it does not.
    """
    if not new:
        return []
    announced = tx.info.get(ANNOUNCED)
    count = _COUNT_AND_ANNOUNCE if announced is None else _COUNT
    last = (await tx.execute(count, {"task": task_id, "more": len(new)})).scalar_one_or_none()
    if last is None:
        raise NotFoundError(f"There is no task {task_id}.")
    if announced is not None:
        announced[task_id] = last
    now, first = utcnow(), last - len(new) + 1
    made = [
        Event(task_id=task_id, seq=first + index, type=type_, stage=stage, data=clean(data), created_at=now)
        for index, (type_, data) in enumerate(new)
    ]
    await tx.execute(insert_into(events), [{**event.model_dump(), "stage": event.stage.value} for event in made])
    return made


async def read(tx: AsyncConnection, task_id: str, after: int = 0, limit: int = 1000) -> list[Event]:
    """Stored events with `seq > after`, in order."""
    query = select(*_COLUMNS).where(events.c.task_id == task_id, events.c.seq > after).order_by(events.c.seq).limit(limit)
    return to_records(Event, await tx.execute(query))
