"""Checkpoints in Redis or Valkey. What is current is said by PostgreSQL (`heads`); Redis may lose anything at any time.

Three rules make a stale writer harmless: a checkpoint counts once PostgreSQL names it, under the lease; checkpoints are never changed
once written; and the writes of an unfinished step count only for the run that made them (the next run does that step again).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import orjson
from langchain_core.runnables import RunnableConfig
from langgraph.checkpoint.base import ChannelVersions, Checkpoint, CheckpointMetadata, CheckpointTuple, get_checkpoint_id
from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph_checkpoint_aws.checkpoint.valkey import AsyncValkeySaver
from psycopg_pool import AsyncConnectionPool

from agent_orchestrator.runtime.checkpoints.heads import CheckpointHeads, delete_heads
from shared.store.redis import RedisLostError, RedisServer

KEEP_S = 30 * 24 * 3600
"""Seconds after which Redis may forget a checkpoint that nobody deleted. Losing one is no harm."""
Writes = list[dict[str, Any]]


class ValkeyCheckpoints:
    """Implements `Checkpoints`."""

    def __init__(self, pool: AsyncConnectionPool[Any], redis: RedisServer) -> None:
        self._pool, self._redis = pool, redis

    def saver(self, task_id: str, epoch: int) -> FencedValkeySaver:
        return FencedValkeySaver(self._redis, CheckpointHeads(self._pool, task_id, epoch))

    async def delete(self, thread_ids: Sequence[str]) -> None:
        """Without Redis only PostgreSQL forgets them; Redis does so in its own time."""
        for thread_id in thread_ids:
            await FencedValkeySaver(self._redis, CheckpointHeads(self._pool, "", 0)).adelete_thread(thread_id)


class FencedValkeySaver(AsyncValkeySaver):  # type: ignore[misc]
    """A saver for one run. While Redis is away the run goes on; what Redis missed is done again if the run dies before its stage ends."""

    def __init__(self, redis: RedisServer, heads: CheckpointHeads) -> None:
        super().__init__(redis.client, ttl=KEEP_S)
        self._earlier = AsyncPostgresSaver(heads.pool)
        self._redis, self._heads = redis, heads
        self._own: dict[tuple[str, str], tuple[str, Writes]] = {}
        """(thread, namespace) -> the checkpoint this run works on and what was written to it."""

    async def aget_tuple(self, config: RunnableConfig) -> CheckpointTuple | None:
        """The checkpoint that is asked for; without an id the current one, never merely the newest.

        What PostgreSQL holds of the time before the setting changed is taken over.
        """
        thread, ns = _address(config)
        head = await self._heads.find(thread, ns)
        if not (ns or get_checkpoint_id(config)):
            earlier = await self._earlier.aget_tuple(config)
            if earlier is not None and (head is None or earlier.checkpoint["id"] > head.checkpoint_id):
                await self.aput(config, earlier.checkpoint, earlier.metadata, {})
                head = await self._heads.find(thread, ns)
        id = get_checkpoint_id(config) or (head.checkpoint_id if head else None)
        if id is None:
            return None
        stored, writes = await self._fetch(thread, ns, id)
        if stored is None and head is not None and head.checkpoint_id == id:
            stored = head.copy
        if stored is None:
            return None
        found: RunnableConfig = {"configurable": {"thread_id": thread, "checkpoint_ns": ns, "checkpoint_id": id}}
        tuple_: CheckpointTuple = self._deserialize_checkpoint_data(orjson.loads(stored), writes, thread, ns, id, found)
        return tuple_

    async def aput(
        self, config: RunnableConfig, checkpoint: Checkpoint, metadata: CheckpointMetadata, new_versions: ChannelVersions
    ) -> RunnableConfig:
        thread, ns = _address(config)
        id = checkpoint["id"]
        data = orjson.dumps(self._serialize_checkpoint_data(config, checkpoint, metadata))
        kept = await self._keep(thread, ns, id, data)
        if kept or not ns:
            await self._heads.move(thread, ns, id, None if ns else data)
        return {"configurable": {"thread_id": thread, "checkpoint_ns": ns, "checkpoint_id": id}}

    async def aput_writes(self, config: RunnableConfig, writes: Sequence[tuple[str, Any]], task_id: str, task_path: str = "") -> None:
        thread, ns = _address(config)
        id = str(config["configurable"]["checkpoint_id"])
        new = [{**write, "epoch": self._heads.epoch} for write in self._serialize_writes_data(writes, task_id)]
        if self._own.get((thread, ns), ("",))[0] != id:
            earlier = (await self._fetch(thread, ns, id))[1]
            if self._own.get((thread, ns), ("",))[0] != id:
                self._own[thread, ns] = (id, earlier)
        merged = self._merge_writes(self._own[thread, ns][1], new)
        self._own[thread, ns] = (id, merged)
        key = self._make_writes_key(thread, ns, id)
        try:
            await self._redis.attempt(lambda client: client.set(key, orjson.dumps(merged), ex=KEEP_S))
        except RedisLostError:
            pass

    async def adelete_thread(self, thread_id: str) -> None:
        await delete_heads(self._heads.pool, [thread_id])
        await self._earlier.aprune([thread_id], strategy="delete")
        try:
            spaces = await self._redis.attempt(lambda client: client.smembers(_spaces_key(thread_id)))
            keys: list[str] = [_spaces_key(thread_id)]
            for ns in (space.decode() for space in spaces):
                ids = await self._redis.attempt(partial(_ids, self._make_thread_key(thread_id, ns)))
                keys.append(self._make_thread_key(thread_id, ns))
                for id in (one.decode() for one in ids):
                    keys += [self._make_checkpoint_key(thread_id, ns, id), self._make_writes_key(thread_id, ns, id)]
            for start in range(0, len(keys), 500):
                await self._redis.attempt(partial(_unlink, keys[start : start + 500]))
        except RedisLostError:
            pass

    async def _keep(self, thread: str, ns: str, id: str, data: bytes) -> bool:
        """Whether Redis has it."""
        listed = self._make_thread_key(thread, ns)
        pipe = self.client.pipeline()
        pipe.set(self._make_checkpoint_key(thread, ns, id), data, ex=KEEP_S)
        pipe.lpush(listed, id)
        pipe.expire(listed, KEEP_S)
        pipe.sadd(_spaces_key(thread), ns)
        pipe.expire(_spaces_key(thread), KEEP_S)
        try:
            await self._redis.attempt(lambda _: pipe.execute())
        except RedisLostError:
            return False
        return True

    async def _fetch(self, thread: str, ns: str, id: str) -> tuple[bytes | None, Writes]:
        """A checkpoint and this run's writes to it, as far as Redis and this process have them."""
        keys = [self._make_checkpoint_key(thread, ns, id), self._make_writes_key(thread, ns, id)]
        try:
            stored, blob = await self._redis.attempt(lambda client: client.mget(keys))
        except RedisLostError:
            stored, blob = None, None
        current, own = self._own.get((thread, ns), ("", []))
        if current == id:
            return stored, own
        return stored, [write for write in self._parse_writes_blob(blob) if write.get("epoch") == self._heads.epoch]


def _address(config: RunnableConfig) -> tuple[str, str]:
    wanted = config["configurable"]
    return str(wanted["thread_id"]), str(wanted.get("checkpoint_ns", ""))


def _spaces_key(thread_id: str) -> str:
    """The set of a thread's namespaces: nothing ever looks through all keys of the server."""
    return f"namespaces:{{{thread_id}}}"


async def _ids(key: str, client: Any) -> list[bytes]:
    found: list[bytes] = await client.lrange(key, 0, -1)
    return found


async def _unlink(keys: Sequence[str], client: Any) -> None:
    await client.unlink(*keys)
