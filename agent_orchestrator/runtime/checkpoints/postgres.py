"""Checkpoints in PostgreSQL, written only by the run that holds the lease."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from contextvars import ContextVar
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointMetadata, CheckpointTuple, get_checkpoint_id
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from psycopg import AsyncCursor
from psycopg.rows import DictRow
from psycopg_pool import AsyncConnectionPool

from agent_orchestrator.runtime.checkpoints.heads import CheckpointHeads, delete_heads, restored
from shared.errors import FencedError

_OWNED = "SELECT 1 FROM runs WHERE task_id = %(task)s AND epoch = %(epoch)s AND state = 'running' FOR SHARE"
_NOTE = """UPDATE runs SET checkpoint_id = %(head)s, poison_count = 0
WHERE task_id = %(task)s AND epoch = %(epoch)s AND state = 'running' RETURNING 1"""
_head: ContextVar[str | None] = ContextVar("head", default=None)


class PostgresCheckpoints:
    """Implements `Checkpoints`. `pool`: autocommit, dict rows."""

    def __init__(self, pool: AsyncConnectionPool[Any]) -> None:
        self._pool = pool

    def saver(self, task_id: str, epoch: int) -> FencedPostgresSaver:
        return FencedPostgresSaver(self._pool, task_id, epoch)

    async def delete(self, thread_ids: Sequence[str]) -> None:
        await delete_heads(self._pool, thread_ids)
        await AsyncPostgresSaver(self._pool).aprune(list(thread_ids), strategy="delete")


class FencedPostgresSaver(AsyncPostgresSaver):
    """A saver for one run: each write checks the run's epoch in the checkpoint's own transaction.

    The task's own checkpoints (not those inside a stage) are noted on the run's row, which is then no poison run any more.
    """

    def __init__(self, pool: AsyncConnectionPool[Any], task_id: str, epoch: int) -> None:
        super().__init__(pool)
        self._task_id, self._epoch = task_id, epoch
        self._heads = CheckpointHeads(pool, task_id, epoch)

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """Takes over what was written to Redis while the setting said so."""
        found = await super().aget_tuple(config)
        wanted = config["configurable"]
        if wanted.get("checkpoint_ns") or get_checkpoint_id(config):
            return found
        head = await self._heads.find(str(wanted["thread_id"]), "")
        if head is None or head.copy is None or (found is not None and found.checkpoint["id"] >= head.checkpoint_id):
            return found
        kept = restored(head.copy, str(wanted["thread_id"]), self.serde)
        await self.aput(_thread(config), kept.checkpoint, kept.metadata, kept.checkpoint["channel_versions"])
        return kept

    async def aput(
        self, config: RunnableConfig, checkpoint: Checkpoint, metadata: CheckpointMetadata, new_versions: ChannelVersions
    ) -> RunnableConfig:
        token = _head.set(None if config["configurable"].get("checkpoint_ns") else checkpoint["id"])
        try:
            return await super().aput(config, checkpoint, metadata, new_versions)
        finally:
            _head.reset(token)

    @asynccontextmanager
    async def _cursor(self, *, pipeline: bool = False) -> AsyncIterator[AsyncCursor[DictRow]]:
        async with super()._cursor(pipeline=False) as cursor:
            if not pipeline:
                yield cursor
                return
            head = _head.get()
            async with cursor.connection.transaction():
                await cursor.execute(_NOTE if head else _OWNED, {"task": self._task_id, "epoch": self._epoch, "head": head})
                if await cursor.fetchone() is None:
                    raise FencedError("Another worker owns this task now; this one stopped.")
                yield cursor


def _thread(config: RunnableConfig) -> RunnableConfig:
    return {"configurable": {"thread_id": config["configurable"]["thread_id"], "checkpoint_ns": ""}}
