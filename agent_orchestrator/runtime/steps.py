"""The steps of an agent's loop as its run keeps them: in one transaction with what they used, under the lease."""

from __future__ import annotations

import json
import logging
from base64 import b64decode, b64encode
from collections.abc import Sequence

from agent_orchestrator.runtime.lease import Lease
from agent_orchestrator.runtime.spend import TaskSpend
from agents.context import Step
from shared.events.store import KeptStep
from shared.models.port import Usage
from shared.store import steps
from shared.types import Json

log = logging.getLogger(__name__)

LIMIT = 64_000_000
"""Bytes of one piece of work. Answers of tools are bounded, files are not: what comes after this is not kept."""


_BYTES = "\0bytes"


class FencedSteps:
    """Implements `agents.context.StepLog`."""

    def __init__(self, lease: Lease, spend: TaskSpend, limit: int = LIMIT) -> None:
        self._lease, self._spend, self._limit = lease, spend, limit
        self._piece, self._count, self._bytes = "", 0, 0
        self._full = False

    async def read(self, piece: str) -> list[Step]:
        async with self._lease.database.connection() as connection:
            kept = await steps.read(connection, self._lease.task_id, piece)
        self._piece, self._count, self._bytes, self._full = piece, len(kept), sum(map(len, kept)), False
        return [_decoded(data) for data in kept]

    async def keep(self, piece: str, step: Step, *, used: Sequence[tuple[str, Usage]] = (), told: str = "") -> bool:
        assert piece == self._piece, "a piece is read before it is added to"
        data = _encoded(step)
        if not self._full and self._bytes + len(data) > self._limit:
            self._full = True
            log.warning("the steps of %s are too big to be kept after the %dth", self._lease.task_id, self._count)
        kept = None if self._full else KeptStep(piece, self._count + 1, data)
        if used or told or not self._count:
            await self._spend.charge(used, told, kept)
        elif kept is not None:
            async with self._lease.database.connection() as connection:
                await steps.add(connection, self._lease.task_id, self._lease.epoch, piece, kept.number, data)
        if kept is not None:
            self._count, self._bytes = kept.number, self._bytes + len(data)
        return kept is not None

    async def forget(self) -> None:
        async with self._lease.transaction() as tx:
            await steps.clear(tx, self._lease.task_id)
        self._count = self._bytes = 0


def _encoded(step: Step) -> bytes:
    kept: Json = {"messages": list(step.messages), "state": step.state, "files": dict(step.files), "patch": step.patch}
    return json.dumps(kept, default=_plain, separators=(",", ":")).encode()


def _plain(value: object) -> Json:
    if isinstance(value, bytes):
        return {_BYTES: b64encode(value).decode()}
    raise TypeError(f"a step cannot hold a {type(value).__name__}")


def _decoded(data: bytes) -> Step:
    kept = json.loads(data, object_hook=lambda found: b64decode(found[_BYTES]) if _BYTES in found else found)
    return Step(kept["messages"], kept["state"], kept["files"], kept["patch"])
