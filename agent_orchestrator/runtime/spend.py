"""A task's budget: what it may use, what it has used, and the question to a person when the one has reached the other."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace

from agent_orchestrator.runtime.lease import Lease
from shared import metrics
from shared.errors import TaskFailedError
from shared.events import store as events_store
from shared.models.port import BudgetReached, Usage
from shared.recipes.repository_config import RepositoryConfig
from shared.store import tasks
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
        costs = [limits.cost_usd if asked_cost is None else float(asked_cost)]
        times = [limits.time_s if asked_time is None else float(asked_time)]
        costs += [config.budget.cost_usd] if config.budget.cost_usd is not None else []
        times += [config.budget.time_s] if config.budget.time_s is not None else []
        explicit = asked_cost is not None or config.budget.cost_usd is not None
        return cls(min(costs), limits.tokens, limits.steps, min(times), explicit)

    def with_grants(self, approvals: Sequence[Approval]) -> Budget:
        """And what people granted since, each grant bound to its approval by the hash."""
        budget = self
        for approval in approvals:
            subject = approval.subject
            intact = approval.content_sha256 == sha256_hex(canonical_json(subject))
            if approval.gate is Gate.BUDGET and approval.status is ApprovalStatus.APPROVED and intact:
                kind = str(subject["kind"])
                budget = replace(budget, **{kind: getattr(budget, kind) + float(subject["more"])})
        return budget


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


_WORDS = {
    "cost_usd": ("Spend {} USD more?", "The task has spent {} of {} USD."),
    "tokens": ("Use {} tokens more?", "The task has used {} of {} tokens."),
    "steps": ("Let the model take {} steps more?", "The model has taken {} of {} steps."),
    "time_s": ("Work {} s longer?", "The task has worked for {} of {} s."),
}
_AT_LEAST = {"cost_usd": 1.0, "tokens": 100_000, "steps": 20, "time_s": 600}
"""A grant is as much as the budget was, and never so little that the next call reaches it again."""


def reached(kind: str, spent: float, limit: float, base: float) -> BudgetReached:
    """The error that says what was used up; `details` is the subject of the question."""
    more = max(base, _AT_LEAST[kind])
    question, summary = _WORDS[kind]
    said = summary.format(_number(kind, spent), _number(kind, limit))
    error = BudgetReached(said, "Approve a larger budget, or send the request again with one.")
    error.details = {
        "kind": kind,
        "spent": spent,
        "limit": limit,
        "more": more,
        "question": question.format(_number(kind, more)),
        "summary": said,
    }
    return error


def _number(kind: str, value: float) -> str:
    return f"{value:,.2f}" if kind == "cost_usd" else f"{value:,.0f}"


class TaskSpend:
    """Implements `shared.models.port.Spend` under a run's lease. `unpriced` are models that may answer and whose price is unknown."""

    def __init__(self, lease: Lease, task: Task, base: Budget, granted: Budget, unpriced: Sequence[str] = ()) -> None:
        self._lease, self._base, self._limit = lease, base, granted
        self._used = Used.of(task.cost)
        self._unpriced = tuple(unpriced)
        self._since = time.monotonic()
        self._writing = asyncio.Lock()

    async def before(self) -> None:
        if self._limit.cost_was_asked_for and self._unpriced:
            raise TaskFailedError(
                f"The cost of this task is limited, but the price of {', '.join(self._unpriced)} is unknown.",
                "Add the price to a file named by PERSEVERE_MODEL_PRICES, or leave the cost budget out: tokens and steps are limited too.",
                code="price_unknown",
            )
        used = replace(self._used, work_s=self._used.work_s + time.monotonic() - self._since)
        for kind in _WORDS:
            limit = float(getattr(self._limit, kind))
            if used.amount(kind) >= limit:
                raise reached(kind, used.amount(kind), limit, float(getattr(self._base, kind)))

    async def after(self, model: str, usage: Usage) -> None:
        """The task's cost and a `usage` event in one fenced transaction."""
        async with self._writing:
            now = time.monotonic()
            used = self._used.plus(usage, now - self._since)
            async with self._lease.transaction() as tx:
                task = await tasks.update(tx, self._lease.task_id, cost=asdict(used))
                await events_store.append(tx, task.id, task.stage, [("usage", _event(model, usage, used))])
            self._used, self._since = used, now
        provider, _, name = model.partition(":")
        metrics.model_used(provider, name, usage.input_tokens, usage.output_tokens, usage.cost_usd)


def _event(model: str, usage: Usage, used: Used) -> Json:
    """`cost_usd` is None when the price is unknown; `total` is the task's so far."""
    return {
        "tokens": usage.input_tokens + usage.output_tokens,
        "cost_usd": usage.cost_usd,
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "model": model,
        "total": {"tokens": used.tokens, "cost_usd": used.cost_usd, "calls": used.calls, "unpriced_calls": used.unpriced_calls},
    }
