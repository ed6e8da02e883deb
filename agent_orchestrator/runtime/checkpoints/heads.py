"""Which checkpoint of a thread is the current one, in PostgreSQL, moved only by the run that holds the lease.

A copy of a task's own last checkpoint is kept with it, so that a store that loses everything costs no more than the stage at hand.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from psycopg.rows import DictRow
from psycopg_pool import AsyncConnectionPool

from shared.errors import FencedError

if TYPE_CHECKING:
    from langgraph.checkpoint.base import CheckpointTuple
    from langgraph.checkpoint.serde.base import SerializerProtocol

_MOVE = """WITH owner AS (
    UPDATE runs SET checkpoint_id = CASE WHEN %(ns)s = '' THEN %(id)s ELSE checkpoint_id END,
        poison_count = CASE WHEN %(ns)s = '' THEN 0 ELSE poison_count END
    WHERE task_id = %(task)s AND epoch = %(epoch)s AND state = 'running' RETURNING task_id
), over AS (
    DELETE FROM checkpoint_heads USING owner WHERE %(ns)s = '' AND thread_id = %(thread)s AND checkpoint_ns <> ''
)
INSERT INTO checkpoint_heads (thread_id, checkpoint_ns, checkpoint_id, copy)
SELECT %(thread)s, %(ns)s, %(id)s, %(copy)s FROM owner
ON CONFLICT (thread_id, checkpoint_ns) DO UPDATE SET checkpoint_id = excluded.checkpoint_id, copy = excluded.copy
RETURNING 1"""
_FIND = "SELECT checkpoint_id, copy FROM checkpoint_heads WHERE thread_id = %s AND checkpoint_ns = %s"


@dataclass(frozen=True)
class Head:
    """`copy` is the checkpoint as its store wrote it; None inside a stage, which simply starts again."""

    checkpoint_id: str
    copy: bytes | None


def restored(copy: bytes, thread_id: str, serde: SerializerProtocol) -> CheckpointTuple:
    """A task's own checkpoint from its copy, without the writes of an unfinished step."""
    from langgraph.checkpoint.base import CheckpointTuple

    kept = json.loads(copy)
    return CheckpointTuple(
        {"configurable": {"thread_id": thread_id, "checkpoint_ns": "", "checkpoint_id": kept["checkpoint_id"]}},
        serde.loads_typed((kept["type"], base64.b64decode(kept["checkpoint"]))),
        json.loads(base64.b64decode(kept["metadata"])),
        None,
        [],
    )


@dataclass(frozen=True)
class CheckpointHeads:
    pool: AsyncConnectionPool[Any]
    task_id: str
    epoch: int

    async def find(self, thread_id: str, ns: str) -> Head | None:
        async with self.pool.connection() as connection:
            row: DictRow | None = await (await connection.execute(_FIND, (thread_id, ns), binary=True)).fetchone()
        return None if row is None else Head(row["checkpoint_id"], row["copy"])

    async def move(self, thread_id: str, ns: str, checkpoint_id: str, copy: bytes | None) -> None:
        """This is the current one from now on; `FencedError` when the run lost its lease. A task's next step ends those of its stages."""
        values = {"task": self.task_id, "epoch": self.epoch, "thread": thread_id, "ns": ns, "id": checkpoint_id, "copy": copy}
        async with self.pool.connection() as connection:
            if await (await connection.execute(_MOVE, values)).fetchone() is None:
                raise FencedError("Another worker owns this task now; this one stopped.")


async def delete_heads(pool: AsyncConnectionPool[Any], thread_ids: Sequence[str]) -> None:
    async with pool.connection() as connection:
        await connection.execute("DELETE FROM checkpoint_heads WHERE thread_id = ANY(%s)", (list(thread_ids),))
