"""Events in PostgreSQL: appended in the transaction of the change, announced at its commit."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import select, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.errors import FencedError, NotFoundError
from shared.store.database import ANNOUNCED
from shared.store.records import Event
from shared.store.rows import clean, columns, to_records
from shared.store.tables import events
from shared.types import Json, Stage, utcnow

CHANNEL = "persevere_events"
_COLUMNS = columns(Event, events)
_WRITTEN = (
    "WITH counted AS (UPDATE tasks SET event_count = event_count + :more WHERE id = :task RETURNING id, event_count), "
    "written AS (INSERT INTO events (task_id, seq, type, stage, data, created_at) "
    "SELECT id, event_count - :more + n, type, :stage, CAST(data AS json), :now FROM counted, "
    "unnest(CAST(:types AS text[]), CAST(:contents AS text[])) WITH ORDINALITY AS new(type, data, n)) "
)
_WRITE = text(f"{_WRITTEN} SELECT event_count FROM counted")
_WRITE_AND_ANNOUNCE = text(f"{_WRITTEN} SELECT event_count, pg_notify('{CHANNEL}', id || ':' || event_count) FROM counted")

_CHARGED = (
    "WITH held AS (SELECT task_id FROM runs WHERE task_id = :task AND epoch = :epoch AND state = 'running' FOR SHARE), "
    "kept AS (INSERT INTO steps (task_id, number, piece, data) SELECT task_id, CAST(:number AS int), :piece, CAST(:content AS bytea) "
    "FROM held WHERE CAST(:content AS bytea) IS NOT NULL RETURNING task_id), "
    "sound AS (UPDATE runs SET poison_count = 0 FROM kept WHERE runs.task_id = kept.task_id AND poison_count > 0), "
    "counted AS (UPDATE tasks SET event_count = event_count + :more, cost = CAST(:cost AS json), updated_at = :now FROM held "
    "WHERE id = held.task_id RETURNING id, event_count, stage), "
    "written AS (INSERT INTO events (task_id, seq, type, stage, data, created_at) "
    "SELECT id, event_count - :more + n, type, stage, CAST(data AS json), :now FROM counted, "
    "unnest(CAST(:types AS text[]), CAST(:contents AS text[])) WITH ORDINALITY AS new(type, data, n)) "
)
_CHARGE = text(f"{_CHARGED} SELECT event_count FROM counted")
_CHARGE_AND_ANNOUNCE = text(f"{_CHARGED} SELECT event_count, pg_notify('{CHANNEL}', id || ':' || event_count) FROM counted")


@dataclass(frozen=True)
class KeptStep:
    """A row of the table of steps; see `shared.store.steps`."""

    piece: str
    number: int
    data: bytes


async def append(tx: AsyncConnection, task_id: str, stage: Stage, new: Sequence[tuple[str, Json]]) -> list[Event]:
    """Add (type, data) pairs in order. Numbered from a counter on the task's row, so that writers of one task follow one another.

    `NotFoundError` when there is no such task. Clients hear of them when the transaction commits, and never if it does not.
    """
    if not new:
        return []
    announced, now = tx.info.get(ANNOUNCED), utcnow()
    cleaned = [(type_, clean(data)) for type_, data in new]
    given: Json = {"task": task_id, "more": len(new), "stage": stage.value, "now": now}
    given |= {"types": [type_ for type_, _ in cleaned], "contents": [json.dumps(data) for _, data in cleaned]}
    last = (await tx.execute(_WRITE_AND_ANNOUNCE if announced is None else _WRITE, given)).scalar_one_or_none()
    if last is None:
        raise NotFoundError(f"There is no task {task_id}.")
    if announced is not None:
        announced[task_id] = last
    first = last - len(new) + 1
    return [
        Event(task_id=task_id, seq=first + index, type=type_, stage=stage, data=data, created_at=now)
        for index, (type_, data) in enumerate(cleaned)
    ]


async def read(tx: AsyncConnection, task_id: str, after: int = 0, limit: int = 1000) -> list[Event]:
    """Stored events with `seq > after`, in order."""
    query = select(*_COLUMNS).where(events.c.task_id == task_id, events.c.seq > after).order_by(events.c.seq).limit(limit)
    return to_records(Event, await tx.execute(query))


async def append_charged(
    tx: AsyncConnection, task_id: str, epoch: int, new: Sequence[tuple[str, Json]], cost: Json, step: KeptStep | None
) -> None:
    """Append (type, data) pairs at the task's stage, set its cost and keep a step: in one statement, for it is done at every answer.

    A run that keeps one is no poison run. `FencedError` unless the task runs under `epoch`.
    """
    announced = tx.info.get(ANNOUNCED)
    given: Json = {"task": task_id, "epoch": epoch, "more": len(new), "now": utcnow(), "cost": json.dumps(clean(cost))}
    given |= {"types": [type_ for type_, _ in new], "contents": [json.dumps(clean(data)) for _, data in new]}
    given |= {"number": step and step.number, "piece": step and step.piece, "content": step and step.data}
    last = (await tx.execute(_CHARGE_AND_ANNOUNCE if announced is None else _CHARGE, given)).scalar_one_or_none()
    if last is None:
        raise FencedError(f"Run {epoch} of {task_id} no longer owns the task; nothing was written.")
    if announced is not None:
        announced[task_id] = last
