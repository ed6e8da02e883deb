"""Idempotency keys of requests. A key is stored with its answer in the transaction of the work: both are there, or neither."""

from __future__ import annotations

import json
from dataclasses import dataclass

from sqlalchemy import delete, func, text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.errors import ConflictError, InvalidRequestError
from shared.store.rows import clean
from shared.store.tables import idempotency_keys as keys
from shared.types import Json

KEPT_S = 86_400
"""How long an answer can be replayed. Every new key removes some that are older, so that they do not pile up."""

_BEGIN = text(
    "SELECT pg_try_advisory_xact_lock(hashtextextended(:name, 0)) AS held, k.request_hash, k.status, k.body FROM (SELECT) AS one "
    "LEFT JOIN idempotency_keys k ON k.user_id = :user AND k.key = :key AND k.status IS NOT NULL "
    "AND k.created_at > clock_timestamp() - make_interval(secs => :kept)"
)
_FINISH = text(
    "WITH old AS (SELECT user_id, key FROM idempotency_keys WHERE created_at < clock_timestamp() - make_interval(secs => :kept) "
    "AND (user_id, key) <> (:user, :key) ORDER BY created_at LIMIT 5 FOR UPDATE SKIP LOCKED), "
    "gone AS (DELETE FROM idempotency_keys WHERE (user_id, key) IN (SELECT user_id, key FROM old)) "
    "INSERT INTO idempotency_keys AS k (user_id, key, request_hash, status, body, created_at) "
    "VALUES (:user, :key, :hash, :status, CAST(:body AS json), clock_timestamp()) "
    "ON CONFLICT (user_id, key) DO UPDATE SET request_hash = excluded.request_hash, status = excluded.status, body = excluded.body, "
    "created_at = excluded.created_at WHERE k.status IS NULL OR k.created_at < clock_timestamp() - make_interval(secs => :kept) "
    "RETURNING k.key"
)


@dataclass(frozen=True)
class Stored:
    """The first answer: HTTP status and JSON body."""

    status: int
    body: Json


async def begin(tx: AsyncConnection, user_id: str, key: str, request_hash: str) -> Stored | None:
    """None: do the work in this transaction, then call `finish` in it; else the answer to replay.

    `InvalidRequestError` (422) when the key was used with another body, `ConflictError` (409) while another transaction works under it.
    """
    key = clean(key)
    given = {"name": f"idempotency:{user_id}:{key}", "user": user_id, "key": key, "kept": KEPT_S}
    row = (await tx.execute(_BEGIN, given)).one()
    if row.status is None:
        if not row.held:
            raise _in_flight()
        return None
    if row.request_hash != request_hash:
        raise InvalidRequestError(
            "This Idempotency-Key was used with another request body.", "Use a new key for a new request.", code="idempotency_key_reused"
        )
    return Stored(row.status, row.body)


async def finish(tx: AsyncConnection, user_id: str, key: str, request_hash: str, status: int, body: Json) -> None:
    """Keep the answer for replays. `ConflictError` when another request was faster: this one's work must not be committed."""
    given = {"user": user_id, "key": clean(key), "hash": request_hash, "status": status, "body": json.dumps(clean(body)), "kept": KEPT_S}
    if (await tx.execute(_FINISH, given)).first() is None:
        raise _in_flight()


async def sweep(tx: AsyncConnection, older_than_s: float = KEPT_S) -> int:
    """Forget keys so many seconds old; how many."""
    old = keys.c.created_at < func.clock_timestamp() - func.make_interval(0, 0, 0, 0, 0, 0, older_than_s)
    return (await tx.execute(delete(keys).where(old))).rowcount


def _in_flight() -> ConflictError:
    return ConflictError(
        "A request with this Idempotency-Key is still being answered.", "Repeat it in a moment.", code="idempotency_in_flight"
    )
