"""Checkpoints in PostgreSQL, written only by the run that holds the lease."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import (
    WRITES_IDX_MAP,
    ChannelVersions,
    Checkpoint,
    CheckpointMetadata,
    CheckpointTuple,
    get_checkpoint_id,
    get_serializable_checkpoint_metadata,
)
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.checkpoint.serde.types import _DeltaSnapshot
from psycopg.types.json import Jsonb
from psycopg_pool import AsyncConnectionPool

from agent_orchestrator.runtime.checkpoints.heads import CheckpointHeads, delete_heads, restored
from shared.errors import FencedError

_OURS = "task_id = %(task)s AND epoch = %(epoch)s AND state = 'running'"
_OWNER = f"WITH owner AS (SELECT 1 FROM runs WHERE {_OURS} FOR SHARE)"
_NOTING_OWNER = f"WITH owner AS (UPDATE runs SET checkpoint_id = %(id)s, poison_count = 0 WHERE {_OURS} RETURNING 1)"
_PUT = """, blobs AS (
    INSERT INTO checkpoint_blobs (thread_id, checkpoint_ns, channel, version, type, blob)
    SELECT %(thread)s, %(ns)s, new.*
    FROM owner, unnest(%(channels)s::text[], %(versions)s::text[], %(types)s::text[], %(blobs)s::bytea[]) new
    ON CONFLICT DO NOTHING
), put AS (
    INSERT INTO checkpoints (thread_id, checkpoint_ns, checkpoint_id, parent_checkpoint_id, checkpoint, metadata)
    SELECT %(thread)s, %(ns)s, %(id)s, %(parent)s, %(checkpoint)s, %(metadata)s FROM owner
    ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id)
        DO UPDATE SET checkpoint = excluded.checkpoint, metadata = excluded.metadata
) SELECT count(*) AS owned FROM owner"""
_WRITE = """, written AS (
    INSERT INTO checkpoint_writes (thread_id, checkpoint_ns, checkpoint_id, task_id, task_path, idx, channel, type, blob)
    SELECT %(thread)s, %(ns)s, %(id)s, %(step)s, %(path)s, new.*
    FROM owner, unnest(%(numbers)s::int[], %(channels)s::text[], %(types)s::text[], %(blobs)s::bytea[]) new
    ON CONFLICT (thread_id, checkpoint_ns, checkpoint_id, task_id, idx) """
_KEEP, _REPLACE = "DO NOTHING", "DO UPDATE SET channel = excluded.channel, type = excluded.type, blob = excluded.blob"
_WRITTEN = ") SELECT count(*) AS owned FROM owner"


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
        where = config["configurable"]
        inline, apart = _split(checkpoint["channel_values"])
        versions = {name: version for name, version in new_versions.items() if name in apart}
        blobs = self._dump_blobs(where["thread_id"], where["checkpoint_ns"], apart, versions)
        await self._write(
            (_OWNER if where["checkpoint_ns"] else _NOTING_OWNER) + _PUT,
            thread=where["thread_id"],
            ns=where["checkpoint_ns"],
            id=checkpoint["id"],
            parent=where.get("checkpoint_id"),
            checkpoint=Jsonb({**checkpoint, "channel_values": inline}),
            metadata=Jsonb(get_serializable_checkpoint_metadata(config, metadata)),
            channels=[row[2] for row in blobs],
            versions=[str(row[3]) for row in blobs],
            types=[row[4] for row in blobs],
            blobs=[row[5] for row in blobs],
        )
        return {
            "configurable": {"thread_id": where["thread_id"], "checkpoint_ns": where["checkpoint_ns"], "checkpoint_id": checkpoint["id"]}
        }

    async def aput_writes(self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = "") -> None:
        where = config["configurable"]
        thread, ns, checkpoint_id = where["thread_id"], where["checkpoint_ns"], where["checkpoint_id"]
        special = all(channel in WRITES_IDX_MAP for channel, _ in writes)
        dumped = self._dump_writes(thread, ns, checkpoint_id, task_id, task_path, writes)
        rows = list({row[5]: row for row in (dumped if special else reversed(dumped))}.values())
        await self._write(
            _OWNER + _WRITE + (_REPLACE if special else _KEEP) + _WRITTEN,
            thread=thread,
            ns=ns,
            id=checkpoint_id,
            step=task_id,
            path=task_path,
            numbers=[row[5] for row in rows],
            channels=[row[6] for row in rows],
            types=[row[7] for row in rows],
            blobs=[row[8] for row in rows],
        )

    async def _write(self, query: str, **values: Any) -> None:
        """One statement, which is its own transaction: it holds the run's row and writes only while the run is ours."""
        async with self._cursor() as cursor:
            await cursor.execute(query.encode(), {"task": self._task_id, "epoch": self._epoch, **values}, binary=True)
            row = await cursor.fetchone()
        if row is None or not row["owned"]:
            raise FencedError("Another worker owns this task now; this one stopped.")


def _split(values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is kept in the checkpoint itself and what apart, as LangGraph reads it: small things, and the rest with a mark for deltas."""
    inline, apart = {}, {}
    for name, value in values.items():
        if value is None or isinstance(value, (str, int, float, bool)):
            inline[name] = value
            continue
        apart[name] = value
        if isinstance(value, _DeltaSnapshot):
            inline[name] = True
    return inline, apart


def _thread(config: RunnableConfig) -> RunnableConfig:
    return {"configurable": {"thread_id": config["configurable"]["thread_id"], "checkpoint_ns": ""}}
