"""Notifications written with the change that caused them and delivered afterwards, at least once."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from sqlalchemy import func, select
from sqlalchemy import update as update_table
from sqlalchemy.dialects.postgresql import insert as insert_into
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.store.records import OutboxMessage
from shared.store.rows import clean, columns, to_records, to_row
from shared.store.tables import outbox

_COLUMNS = columns(OutboxMessage, outbox)
_LEASE = timedelta(seconds=60)


async def insert(tx: AsyncConnection, message: OutboxMessage) -> bool:
    """Queue a message; False when one with its id was queued before."""
    added = insert_into(outbox).values(to_row(message)).on_conflict_do_nothing(index_elements=["id"])
    return (await tx.execute(added.returning(outbox.c.id))).first() is not None


async def claim_batch(tx: AsyncConnection, n: int) -> Sequence[OutboxMessage]:
    """Take up to `n` due messages, the oldest first. Each counts an attempt and is due again after 60 seconds unless it is marked."""
    now = func.clock_timestamp()
    due = (
        select(outbox.c.id)
        .where(outbox.c.state == "pending", outbox.c.next_attempt_at <= now)
        .order_by(outbox.c.next_attempt_at, outbox.c.id)
        .limit(n)
        .with_for_update(skip_locked=True)
        .cte("due")
    )
    taken = update_table(outbox).where(outbox.c.id == due.c.id).values(attempts=outbox.c.attempts + 1, next_attempt_at=now + _LEASE)
    found = to_records(OutboxMessage, await tx.execute(taken.returning(*_COLUMNS)))
    return sorted(found, key=lambda message: (message.created_at, message.id))


async def mark_sent(tx: AsyncConnection, id: str) -> None:
    await tx.execute(update_table(outbox).where(outbox.c.id == id).values(state="sent", sent_at=func.clock_timestamp(), last_error=None))


async def mark_failed(tx: AsyncConnection, id: str, error: str, *, retry_in_s: float | None) -> None:
    """The delivery failed: due again in so many seconds, or dead when `retry_in_s` is None."""
    values = {"last_error": clean(error)[:2000]}
    if retry_in_s is None:
        statement = update_table(outbox).where(outbox.c.id == id).values(**values, state="dead")
    else:
        due = func.clock_timestamp() + timedelta(seconds=retry_in_s)
        statement = update_table(outbox).where(outbox.c.id == id, outbox.c.state == "pending").values(**values, next_attempt_at=due)
    await tx.execute(statement)
