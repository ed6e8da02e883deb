"""Answers about what may be used and what was."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from agent_orchestrator.runtime.owners import limits_of, period_of
from shared.models.limits import MEASURES, Measure, PeriodLimits
from shared.store.spending import Balance


class Use(BaseModel):
    """US dollars, tokens, calls of a model or seconds of work. `limit` holds what was granted beyond it; null: no limit."""

    used: float
    limit: float | None


class PeriodView(BaseModel):
    """Of a user or a project in a calendar day (2026-11-21) or month (2026-11), UTC."""

    owner: Literal["user", "project"]
    owner_id: str
    name: str
    period: str
    cost_usd: Use
    tokens: Use
    steps: Use
    time_s: Use
    unpriced_calls: int = Field(description="Calls whose dollars are unknown: cost_usd leaves them out.")

    @classmethod
    def of(cls, balance: Balance, operators: PeriodLimits) -> PeriodView:
        limits = limits_of(balance, operators)

        def use(measure: Measure) -> Use:
            limit = limits.of(measure, period_of(balance))
            more = float(getattr(balance, f"more_{measure}"))
            return Use(used=float(getattr(balance, measure)), limit=None if limit is None else limit + more)

        return cls(
            owner="user" if balance.owner == "user" else "project",
            owner_id=balance.owner_id,
            name=balance.name or balance.owner_id,
            period=balance.period,
            unpriced_calls=balance.unpriced_calls,
            **{measure: use(measure) for measure in MEASURES},
        )


class Quota(BaseModel):
    """You first, then your projects, the newest first; of each the day and the month."""

    items: list[PeriodView]
    next_cursor: str | None = None
    requests_per_minute: int | None = Field(description="Chat turns and new tasks; null: no limit.")
    runs_at_once: int | None = Field(description="Of your tasks over all workers, more wait; null: no limit.")
