"""Idempotency keys of requests: the same key and body replays the first answer."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy import delete, func, select, update
from sqlalchemy.dialects.postgresql import insert as insert_into
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.errors import ConflictError, InvalidRequestError
from shared.store.rows import clean
from shared.store.tables import idempotency_keys as keys
from shared.types import Json

ABANDONED_AFTER = timedelta(seconds=60)
"""A request that began so long ago and never finished is taken to have died with its process."""


@dataclass(frozen=True)
class Stored:
    """The first answer: HTTP status and JSON body."""

    status: int
    body: Json


async def begin(tx: AsyncConnection, user_id: str, key: str, request_hash: str) -> Stored | None:
    """None: do it, then call `finish` (or `abandon`); else the answer to replay.

    `InvalidRequestError` (422) when the key was used with another body, `ConflictError` (409) while the first request is in flight.
    Works with the work inside the same transaction and with a transaction of its own before the work.
    """
    key = clean(key)
    held = select(func.pg_try_advisory_xact_lock(func.hashtextextended(f"idempotency:{user_id}:{key}", 0)))
    if not (await tx.execute(held)).scalar_one():
        raise _in_flight()
    fresh = insert_into(keys).values(user_id=user_id, key=key, request_hash=request_hash).on_conflict_do_nothing().returning(keys.c.key)
    if (await tx.execute(fresh)).first():
        return None
    mine = keys.c.user_id == user_id, keys.c.key == key
    abandoned = keys.c.created_at < func.clock_timestamp() - ABANDONED_AFTER
    row = (await tx.execute(select(keys.c.request_hash, keys.c.status, keys.c.body, abandoned.label("abandoned")).where(*mine))).one()
    if row.request_hash != request_hash:
        raise InvalidRequestError(
            "This Idempotency-Key was used with another request body.", "Use a new key for a new request.", code="idempotency_key_reused"
        )
    if row.status is not None:
        return Stored(row.status, row.body)
    if not row.abandoned:
        raise _in_flight()
    await tx.execute(update(keys).where(*mine).values(created_at=func.clock_timestamp()))
    return None


def _in_flight() -> ConflictError:
    return ConflictError(
        "A request with this Idempotency-Key is still being answered.", "Repeat it in a moment.", code="idempotency_in_flight"
    )


async def finish(tx: AsyncConnection, user_id: str, key: str, status: int, body: Json) -> None:
    """Keep the answer for replays."""
    mine = keys.c.user_id == user_id, keys.c.key == clean(key)
    await tx.execute(update(keys).where(*mine).values(status=status, body=clean(body)))


async def abandon(tx: AsyncConnection, user_id: str, key: str) -> None:
    """The request failed without an answer worth keeping: the key may be used again."""
    await tx.execute(delete(keys).where(keys.c.user_id == user_id, keys.c.key == clean(key), keys.c.status.is_(None)))


async def sweep(tx: AsyncConnection, older_than_s: float = 86_400) -> int:
    """Forget keys so many seconds old; how many."""
    old = keys.c.created_at < func.clock_timestamp() - timedelta(seconds=older_than_s)
    return (await tx.execute(delete(keys).where(old))).rowcount
