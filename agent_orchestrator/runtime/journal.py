"""The task's record as its run writes it: rows, events, artifacts and effects, each write under the lease."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

from langchain_core.runnables import RunnableConfig
from langgraph.config import get_config
from pydantic import BaseModel

from agent_orchestrator.runtime.lease import Lease
from shared import metrics
from shared.artifacts.postgres import PostgresArtifacts
from shared.effects import ledger
from shared.events import store as events_store
from shared.store import marks, tasks
from shared.types import ErrorInfo, Json, Plan, Stage, TaskStatus, TestResults

_TYPED: dict[str, type[BaseModel]] = {"plan": Plan, "test_results": TestResults, "error": ErrorInfo}


class StepMarks:
    """Names each entry of a step by the step's place in the graph and its number: the same when a kill makes the step run again.

    LangGraph derives the place, `checkpoint_ns`, from the checkpoint the step starts from. Within a stage its name and step number take
    their turn, so that a stage that begins again (its own checkpoints may be lost) says nothing twice either.
    """

    def __init__(self) -> None:
        self._entries: Counter[str] = Counter()

    def next(self) -> str:
        step = _step(get_config())
        self._entries[step] += 1
        return f"{step}#{self._entries[step]}"


def _step(config: RunnableConfig) -> str:
    place, *inside = str(config["configurable"]["checkpoint_ns"]).split("|")
    if len(inside) != 1:
        return "|".join((place, *inside))
    about = config.get("metadata", {})
    return f"{place}|{inside[0].partition(':')[0]}@{about['langgraph_step']}{about['langgraph_path']}"


class FencedJournal:
    """Implements `agents.context.Journal`."""

    def __init__(self, lease: Lease, artifacts: PostgresArtifacts) -> None:
        self._lease, self._artifacts = lease, artifacts
        self._marks = StepMarks()
        self._stage: tuple[Stage, float] | None = None

    async def log(self, stage: Stage, message: str, level: str = "info") -> None:
        await self.event(stage, "log", {"level": level, "message": message})

    async def event(self, stage: Stage, type: str, data: Json) -> None:
        mark = self._marks.next()
        async with self._lease.transaction() as tx:
            if await marks.first_time(tx, self._lease.task_id, mark):
                await events_store.append(tx, self._lease.task_id, stage, [(type, data)])

    async def update(
        self,
        stage: Stage,
        status: TaskStatus | None = None,
        *,
        events: list[tuple[str, Json]] | None = None,
        details: str = "",
        **fields: Any,
    ) -> None:
        """Change the row; a `status_update` event is added when the status changes or `details` say something."""
        for name, model in _TYPED.items():
            if isinstance(fields.get(name), dict):
                fields[name] = model.model_validate(fields[name])
        happened: list[tuple[str, Json]] = []
        if status is not None:
            fields["status"] = status
            happened.append(("status_update", {"new_status": status.value, "details": details}))
        elif details:
            happened.append(("log", {"level": "info", "message": details}))
        happened.extend(events or [])
        mark = self._marks.next()
        async with self._lease.transaction() as tx:
            task = await tasks.update(tx, self._lease.task_id, stage=stage, **fields)
            if happened and await marks.first_time(tx, self._lease.task_id, mark):
                await events_store.append(tx, self._lease.task_id, stage, happened)
        self._count(stage, task.workflow, status)

    def _count(self, stage: Stage, workflow: str, status: TaskStatus | None) -> None:
        """A stage ends where the next begins, or with the task; time between two runs is not counted."""
        now = time.monotonic()
        ends = status is not None and status.is_final
        if self._stage is not None and (ends or self._stage[0] is not stage):
            metrics.stage_finished(self._stage[0], now - self._stage[1])
            self._stage = None
        if self._stage is None and not ends:
            self._stage = (stage, now)
        if status is not None:
            metrics.task_reached(workflow, status)

    def pause(self) -> None:
        """The work stops here for a person: the stage is over, and the time of waiting is not its own."""
        if self._stage is not None:
            metrics.stage_finished(self._stage[0], time.monotonic() - self._stage[1])
            self._stage = None

    async def save_artifact(self, name: str, data: bytes, media_type: str = "text/plain") -> str:
        async with self._lease.transaction() as tx:
            saved = await self._artifacts.save(tx, self._lease.task_id, name, data, media_type)
        return saved.sha256

    async def load_artifact(self, name: str) -> bytes:
        async with self._lease.database.connection() as connection:
            return await self._artifacts.load(connection, self._lease.task_id, name)

    async def drop_artifacts(self, begin: str, end: str) -> None:
        async with self._lease.transaction() as tx:
            await self._artifacts.drop(tx, self._lease.task_id, begin, end)


class FencedEffects:
    """Implements `agents.context.EffectsLedger`."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease

    async def intend(self, key: str, kind: str, intent: Json) -> Json | None:
        async with self._lease.transaction() as tx:
            return await ledger.intend(tx, self._lease.task_id, key, kind, intent)

    async def done(self, key: str, result: Json) -> None:
        async with self._lease.transaction() as tx:
            await ledger.done(tx, key, result)
