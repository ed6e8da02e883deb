"""Work that is a transaction of its own, or part of the caller's."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, nullcontext

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.store.database import Database


def joined(database: Database, tx: AsyncConnection | None) -> AbstractAsyncContextManager[AsyncConnection]:
    """The caller's transaction, which the caller commits; a new one when there is none."""
    return database.transaction() if tx is None else nullcontext(tx)
