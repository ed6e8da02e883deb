"""Checkpoints in PostgreSQL, written only by the run that holds the lease."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from psycopg import AsyncCursor
from psycopg.rows import DictRow
from psycopg_pool import AsyncConnectionPool

from shared.errors import FencedError


class FencedPostgresSaver(AsyncPostgresSaver):
    """A saver for one run: each write checks the run's epoch in the checkpoint's own transaction."""

    def __init__(self, pool: AsyncConnectionPool[Any], task_id: str, epoch: int) -> None:
        super().__init__(pool)
        self._task_id, self._epoch = task_id, epoch

    @asynccontextmanager
    async def _cursor(self, *, pipeline: bool = False) -> AsyncIterator[AsyncCursor[DictRow]]:
        async with super()._cursor(pipeline=False) as cursor:
            if not pipeline:
                yield cursor
                return
            async with cursor.connection.transaction():
                await cursor.execute("SELECT epoch, state FROM runs WHERE task_id = %s FOR SHARE", (self._task_id,))
                row = await cursor.fetchone()
                if row is None or row["epoch"] != self._epoch or row["state"] != "running":
                    raise FencedError("Another worker owns this task now; this one stopped.")
                yield cursor
