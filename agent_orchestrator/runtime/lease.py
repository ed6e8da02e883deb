"""The lease of a run: who may write. Every transaction of a run begins by checking its epoch."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.store import runs
from shared.store.database import Database


async def nobody_waits(tx: AsyncConnection) -> None:
    """For a run whose end makes room for nobody."""


@dataclass(frozen=True)
class Lease:
    """`epoch` is the fencing token: a later claim makes it stale, and then nothing of this run is written any more.

    `admit` is called in the transaction in which the run lets go: it lets the next one in.
    """

    database: Database
    task_id: str
    epoch: int
    thread_id: str
    admit: Callable[[AsyncConnection], Awaitable[object]] = nobody_waits

    @property
    def is_first(self) -> bool:
        """Whether nobody ever worked on the task before."""
        return self.epoch == 1

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that raises `FencedError` before anything is written when the lease was lost."""
        async with self.database.transaction() as tx:
            await runs.check(tx, self.task_id, self.epoch)
            yield tx

    async def let_go(self, tx: AsyncConnection, state: Literal["idle", "ended"], **fields: Any) -> None:
        """End the run in a transaction of this lease: nothing can be written under it afterwards."""
        await self.admit(tx)
        await runs.finish(tx, self.task_id, self.epoch, state, **fields)
