"""The outbox: each message to one deliverer at a time, and again until it is marked."""

from __future__ import annotations

from sqlalchemy import text

from shared.store import outbox
from shared.store.database import Database
from shared.store.records import OutboxMessage


def _message(id: str) -> OutboxMessage:
    return OutboxMessage(id=id, task_id=None, channel="console", event_type="x", payload={})


async def test_claimed_once_then_again_until_marked(database: Database) -> None:
    async with database.transaction() as tx:
        assert [await outbox.insert(tx, _message(id)) for id in ("a", "b", "c", "a")] == [True, True, True, False]
    async with database.transaction() as one, database.transaction() as two:
        first, second = await outbox.claim_batch(one, 2), await outbox.claim_batch(two, 2)
    assert [len(first), len(second)] == [2, 1]
    assert {message.id for message in (*first, *second)} == {"a", "b", "c"}
    async with database.transaction() as tx:
        assert await outbox.claim_batch(tx, 9) == []
        await outbox.mark_sent(tx, "a")
        await outbox.mark_failed(tx, "b", "down\x00", retry_in_s=0)
        await outbox.mark_failed(tx, "c", "gone", retry_in_s=None)
    async with database.transaction() as tx:
        again = await outbox.claim_batch(tx, 9)
        assert [(message.id, message.attempts) for message in again] == [("b", 2)]
        await tx.execute(text("UPDATE outbox SET next_attempt_at = now() - interval '1 second'"))
        assert [message.id for message in await outbox.claim_batch(tx, 9)] == ["b"]
