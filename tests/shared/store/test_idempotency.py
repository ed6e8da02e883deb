"""Idempotency keys: replay, refuse another body, refuse while in flight."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text

from shared.errors import ConflictError, InvalidRequestError
from shared.store import idempotency
from shared.store.database import Database


async def _begin(database: Database, request_hash: str = "h", user: str = "ann") -> idempotency.Stored | None:
    async with database.transaction() as tx:
        return await idempotency.begin(tx, user, "key", request_hash)


async def test_the_first_answer_is_replayed(database: Database) -> None:
    assert await _begin(database) is None
    with pytest.raises(ConflictError):
        await _begin(database)
    async with database.transaction() as tx:
        await idempotency.finish(tx, "ann", "key", 201, {"id": 1})
    assert await _begin(database) == idempotency.Stored(201, {"id": 1})
    with pytest.raises(InvalidRequestError):
        await _begin(database, "other")
    assert await _begin(database, "other", user="bob") is None


async def test_in_flight_inside_an_open_transaction(database: Database) -> None:
    async with database.transaction() as tx:
        assert await idempotency.begin(tx, "ann", "key", "h") is None
        async with asyncio.timeout(2):
            with pytest.raises(ConflictError):
                await _begin(database)
        await idempotency.finish(tx, "ann", "key", 201, {})
    assert await _begin(database) == idempotency.Stored(201, {})


async def test_abandoned_and_swept_keys_may_be_used_again(database: Database) -> None:
    assert await _begin(database) is None
    async with database.transaction() as tx:
        await idempotency.abandon(tx, "ann", "key")
    assert await _begin(database, "other") is None
    async with database.transaction() as tx:
        await tx.execute(text("UPDATE idempotency_keys SET created_at = now() - interval '2 days'"))
    assert await _begin(database, "other") is None
    async with database.transaction() as tx:
        await tx.execute(text("UPDATE idempotency_keys SET created_at = now() - interval '2 days'"))
        assert await idempotency.sweep(tx) == 1
