"""A task's budget: what it may use, what it has used, and the question to a person when the one has reached the other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from agent_orchestrator.runtime.lease import Lease
from agent_orchestrator.runtime.owners import OwnerBudgets, price_unknown
from agent_orchestrator.runtime.questions import reached
from shared import metrics
from shared.events import store as events_store
from shared.events.store import KeptStep
from shared.models.limits import MEASURES
from shared.models.port import Usage
from shared.recipes.repository_config import RepositoryConfig
from shared.store import runs, steps
from shared.store.records import Approval, Task
from shared.types import ApprovalStatus, Gate, Json, canonical_json, sha256_hex
from workflows.loader import WorkflowLimits


@dataclass(frozen=True)
class Budget:
    """`steps` are calls of a model; `time_s` seconds of work, without the time people take to answer."""

    cost_usd: float
    tokens: float
    steps: float
    time_s: float
    cost_was_asked_for: bool = False
    """A person or the repository limited the cost: a model whose price is unknown cannot keep to it."""

    @classmethod
    def of(cls, task: Task, config: RepositoryConfig, limits: WorkflowLimits) -> Budget:
        """The workflow's limits, or the request's in their place; the repository's can only lower them."""
        asked_cost, asked_time = task.request.get("cost_budget_usd"), task.request.get("time_budget_s")
        lower = config.budget
        explicit = asked_cost is not None or lower.cost_usd is not None
        return cls(
            cost_usd=_lowest(limits.cost_usd if asked_cost is None else float(asked_cost), lower.cost_usd),
            tokens=_lowest(limits.tokens, lower.tokens),
            steps=_lowest(limits.steps, lower.steps),
            time_s=_lowest(limits.time_s if asked_time is None else float(asked_time), lower.time_s),
            cost_was_asked_for=explicit,
        )

    def with_grants(self, approvals: Sequence[Approval], set_after: Json) -> Budget:
        """And what people granted to the task, each grant bound to its approval by the hash.

        `set_after`: after how many questions about its budgets a retry gave it a new one of a kind; what was granted before is part of it.
        """
        budget = self
        for approval in approvals:
            if grants(approval) and approval.subject.get("owner", "task") == "task":
                kind = str(approval.subject["kind"])
                if approval.revision > set_after.get(kind, 0):
                    budget = replace(budget, **{kind: getattr(budget, kind) + float(approval.subject["more"])})
        return budget


def _lowest(given: float, lower: float | None) -> float:
    return given if lower is None else min(given, lower)


def grants(approval: Approval) -> bool:
    """Whether a person said yes to more, and to exactly this."""
    intact = approval.content_sha256 == sha256_hex(canonical_json(approval.subject))
    return approval.gate is Gate.BUDGET and approval.status is ApprovalStatus.APPROVED and intact


@dataclass(frozen=True)
class Used:
    """What a task has used, as its `cost` keeps it. `cost_usd` leaves out the calls whose price is unknown."""

    tokens: int = 0
    cost_usd: float = 0.0
    input_tokens: int = 0
    output_tokens: int = 0
    calls: int = 0
    unpriced_calls: int = 0
    work_s: float = 0.0

    @classmethod
    def of(cls, cost: Json) -> Used:
        return cls(**{key: value for key, value in cost.items() if key in cls.__dataclass_fields__})

    def plus(self, usage: Usage, seconds: float) -> Used:
        return Used(
            tokens=self.tokens + usage.input_tokens + usage.output_tokens,
            cost_usd=round(self.cost_usd + (usage.cost_usd or 0.0), 8),
            input_tokens=self.input_tokens + usage.input_tokens,
            output_tokens=self.output_tokens + usage.output_tokens,
            calls=self.calls + 1,
            unpriced_calls=self.unpriced_calls + (usage.cost_usd is None),
            work_s=round(self.work_s + seconds, 3),
        )

    def amount(self, kind: str) -> float:
        return float(getattr(self, {"steps": "calls", "time_s": "work_s"}.get(kind, kind)))


class TaskSpend:
    """Implements `shared.models.port.Spend` under a run's lease. `unpriced` are models that may answer and whose price is unknown."""

    def __init__(self, lease: Lease, task: Task, base: Budget, granted: Budget, owners: OwnerBudgets, unpriced: Sequence[str] = ()) -> None:
        self._lease, self._base, self._limit, self._owners = lease, base, granted, owners
        self._used = Used.of(task.cost)
        self._unpriced = tuple(unpriced)
        self._since = time.monotonic()
        self._writing = asyncio.Lock()

    async def before(self) -> None:
        if self._limit.cost_was_asked_for and self._unpriced:
            raise price_unknown("this task", self._unpriced)
        working_s = time.monotonic() - self._since
        used = replace(self._used, work_s=self._used.work_s + working_s)
        for kind in MEASURES:
            limit = float(getattr(self._limit, kind))
            if used.amount(kind) >= limit:
                raise reached(kind, used.amount(kind), limit, float(getattr(self._base, kind)))
        await self._owners.check(self._lease.database, working_s, self._unpriced)

    async def after(self, model: str, usage: Usage) -> None:
        await self.charge([(model, usage)])

    async def charge(self, calls: Sequence[tuple[str, Usage]], told: str = "", step: KeptStep | None = None) -> None:
        """Calls [(model, usage)]: the task's cost, its user's and its project's, and a `usage` event each, in one fenced transaction.

        With it a line for those who watch, and a step; the first one of a piece takes the place of another's.
        """
        async with self._writing:
            now, used = time.monotonic(), self._used
            happened: list[tuple[str, Json]] = []
            for number, (model, usage) in enumerate(calls):
                used = used.plus(usage, 0 if number else now - self._since)
                happened.append(("usage", _event(model, usage, used)))
            happened += [("log", {"level": "info", "message": told})] if told else []
            lease = self._lease
            async with lease.database.transaction() as tx:
                if step is not None and step.number == 1:
                    await runs.check(tx, lease.task_id, lease.epoch)
                    await steps.clear(tx, lease.task_id)
                await events_store.append_charged(tx, lease.task_id, lease.epoch, happened, asdict(used), step)
                if calls:
                    await self._owners.add(tx, [usage for _, usage in calls], now - self._since)
            if calls:
                self._used, self._since = used, now
        for model, usage in calls:
            provider, _, name = model.partition(":")
            metrics.model_used(provider, name, usage.input_tokens, usage.output_tokens, usage.cost_usd)


def _event(model: str, usage: Usage, used: Used) -> Json:
    """`cost_usd` is None when the price is unknown; `estimated`: not all of it was counted; `total` is the task's so far."""
    return {
        "tokens": usage.input_tokens + usage.output_tokens,
        "cost_usd": usage.cost_usd,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "model": model,
        "estimated": usage.estimated,
        "total": {"tokens": used.tokens, "cost_usd": used.cost_usd, "calls": used.calls, "unpriced_calls": used.unpriced_calls},
    }
