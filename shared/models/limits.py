"""What a user or a project may use within a calendar day or month (UTC)."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Measure = Literal["cost_usd", "tokens", "steps", "time_s"]
PeriodName = Literal["day", "month"]
Amount = Annotated[float | None, Field(default=None, ge=0, le=1e15, allow_inf_nan=False)]

MEASURES: dict[Measure, str] = {"cost_usd": "usd", "tokens": "tokens", "steps": "steps", "time_s": "seconds"}
"""Each with its word in names of limits. `steps` are calls of a model, `time_s` seconds of work."""
PERIODS: tuple[PeriodName, ...] = ("day", "month")


class PeriodLimits(BaseModel):
    """None: no limit. 0: nothing without asking. A day and a month begin at midnight UTC."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    usd_per_day: Amount = None
    usd_per_month: Amount = None
    tokens_per_day: Amount = None
    tokens_per_month: Amount = None
    steps_per_day: Amount = None
    steps_per_month: Amount = None
    seconds_per_day: Amount = None
    seconds_per_month: Amount = None

    def of(self, measure: Measure, period: PeriodName) -> float | None:
        found: float | None = getattr(self, f"{MEASURES[measure]}_per_{period}")
        return found

    def lower(self, other: PeriodLimits) -> PeriodLimits:
        """Of each limit the lower one."""
        both = {name: [one for one in (getattr(self, name), getattr(other, name)) if one is not None] for name in PeriodLimits.model_fields}
        return PeriodLimits(**{name: min(given) for name, given in both.items() if given})

    @property
    def any(self) -> bool:
        return self != PeriodLimits()


class BudgetSettings(BaseModel):
    """The operator's limits: of every user, and the most that any project may have."""

    budget_user_usd_per_day: Amount = None
    budget_user_usd_per_month: Amount = None
    budget_user_tokens_per_day: Amount = None
    budget_user_tokens_per_month: Amount = None
    budget_user_steps_per_day: Amount = None
    budget_user_steps_per_month: Amount = None
    budget_user_seconds_per_day: Amount = None
    budget_user_seconds_per_month: Amount = None
    budget_project_usd_per_day: Amount = None
    budget_project_usd_per_month: Amount = None
    budget_project_tokens_per_day: Amount = None
    budget_project_tokens_per_month: Amount = None
    budget_project_steps_per_day: Amount = None
    budget_project_steps_per_month: Amount = None
    budget_project_seconds_per_day: Amount = None
    budget_project_seconds_per_month: Amount = None

    def limits_of(self, owner: Literal["user", "project"]) -> PeriodLimits:
        return PeriodLimits(**{name: getattr(self, f"budget_{owner}_{name}") for name in PeriodLimits.model_fields})


def period_key(period: PeriodName, at: datetime) -> str:
    """`2026-11` or `2026-11-21`, in UTC."""
    return at.astimezone(UTC).strftime("%Y-%m-%d" if period == "day" else "%Y-%m")


def period_words(key: str) -> str:
    """`November 2026 (UTC)` or `21 November 2026 (UTC)`."""
    year, month, *day = (int(part) for part in key.split("-"))
    names = ["January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November", "December"]
    return " ".join([*map(str, day), names[month - 1], str(year), "(UTC)"])
