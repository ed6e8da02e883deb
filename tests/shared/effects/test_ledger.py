"""The effects ledger: what is done is not done again."""

from __future__ import annotations

import pytest

from shared.effects import ledger
from shared.errors import ConflictError, NotFoundError
from shared.store import tasks
from shared.store.database import Database
from shared.store.records import Task


async def test_intended_done_and_answered(database: Database) -> None:
    async with database.transaction() as tx:
        for id in ("task_1", "task_2"):
            await tasks.insert(tx, Task(id=id, user_id="ann", title="t", prompt="p", repo="/r"))
        assert await ledger.intend(tx, "task_1", "k", "push", {"branch": "b"}) is None
        assert await ledger.intend(tx, "task_1", "k", "push", {"branch": "b"}) is None
        await ledger.done(tx, "k", {"id": 1})
        await ledger.done(tx, "k", {"id": 2})
        assert await ledger.intend(tx, "task_1", "k", "push", {"branch": "b"}) == {"id": 1}
        with pytest.raises(ConflictError):
            await ledger.intend(tx, "task_2", "k", "push", {})
        with pytest.raises(NotFoundError):
            await ledger.done(tx, "nobody", {})
        effects = await ledger.for_task(tx, "task_1")
    assert [(effect.key, effect.state, effect.result) for effect in effects] == [("k", "done", {"id": 1})]
