"""Idempotency keys: replay, refuse another body, refuse while in flight; stored with the work or not at all."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import text

from shared.errors import ConflictError, InvalidRequestError
from shared.store import idempotency
from shared.store.database import Database


async def _once(database: Database, key: str = "key", request_hash: str = "h", user: str = "ann") -> idempotency.Stored | None:
    """Do the work, unless it was done; the first answer if it was."""
    async with database.transaction() as tx:
        stored = await idempotency.begin(tx, user, key, request_hash)
        if stored is None:
            await idempotency.finish(tx, user, key, request_hash, 201, {"by": user})
    return stored


async def _age(database: Database, hours: int) -> None:
    async with database.transaction() as tx:
        await tx.execute(text(f"UPDATE idempotency_keys SET created_at = created_at - interval '{hours} hours'"))


async def _count(database: Database) -> int:
    async with database.connection() as tx:
        return int((await tx.execute(text("SELECT count(*) FROM idempotency_keys"))).scalar_one())


async def test_the_first_answer_is_replayed_to_the_same_user(database: Database) -> None:
    assert await _once(database) is None
    assert await _once(database) == idempotency.Stored(201, {"by": "ann"})
    with pytest.raises(InvalidRequestError):
        await _once(database, request_hash="other")
    assert await _once(database, request_hash="other", user="bob") is None


async def test_another_request_in_flight_is_told_at_once(database: Database) -> None:
    async with database.transaction() as tx:
        assert await idempotency.begin(tx, "ann", "key", "h") is None
        async with asyncio.timeout(2):
            with pytest.raises(ConflictError):
                await _once(database)
        await idempotency.finish(tx, "ann", "key", "h", 201, {})
        with pytest.raises(ConflictError):
            await _once(database)
    assert await _once(database) == idempotency.Stored(201, {})


async def test_work_that_is_rolled_back_leaves_the_key_free(database: Database) -> None:
    async def work() -> None:
        async with database.transaction() as tx:
            assert await idempotency.begin(tx, "ann", "key", "h") is None
            await idempotency.finish(tx, "ann", "key", "h", 201, {})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await work()
    assert await _once(database, request_hash="other") is None


async def test_of_two_that_both_began_one_is_kept(database: Database) -> None:
    """The second one's transaction fails with its work."""
    async with database.transaction() as tx:
        assert await idempotency.begin(tx, "ann", "key", "h") is None
    await _once(database)
    with pytest.raises(ConflictError):
        async with database.transaction() as tx:
            await idempotency.finish(tx, "ann", "key", "h", 200, {"by": "the second"})
    assert await _once(database) == idempotency.Stored(201, {"by": "ann"})


async def test_keys_are_kept_for_a_day_and_then_removed_as_others_come(database: Database) -> None:
    for number in range(8):
        await _once(database, f"old {number}")
    await _age(database, 23)
    assert await _once(database, "old 0") is not None
    await _age(database, 2)
    assert await _once(database, "old 0", "other") is None
    assert await _count(database) == 3
    assert await _once(database, "new") is None
    assert await _count(database) == 2
    await _age(database, 48)
    async with database.transaction() as tx:
        assert await idempotency.sweep(tx) == 2
