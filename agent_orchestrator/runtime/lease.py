"""The lease of a run: who may write. Every transaction of a run begins by checking its epoch."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.store import runs
from shared.store.database import Database


@dataclass(frozen=True)
class Lease:
    """`epoch` is the fencing token: a later claim makes it stale, and then nothing of this run is written any more."""

    database: Database
    task_id: str
    epoch: int
    thread_id: str

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that raises `FencedError` before anything is written when the lease was lost."""
        async with self.database.transaction() as tx:
            await runs.check(tx, self.task_id, self.epoch)
            yield tx
