"""The question that a budget asks when it is used up: whose it is, what was used of how much, and how much more would do."""

from __future__ import annotations

import math
from dataclasses import dataclass

from shared.models.limits import Measure, period_words
from shared.models.port import BudgetReached
from shared.types import Json

_QUESTIONS: dict[Measure, str] = {
    "cost_usd": "Spend {} USD more?",
    "tokens": "Use {} tokens more?",
    "steps": "Let the model take {} steps more?",
    "time_s": "Work {} s longer?",
}
_SUMMARIES: dict[Measure, str] = {
    "cost_usd": "{} spent {} of {} USD",
    "tokens": "{} used {} of {} tokens",
    "steps": "{} let the model take {} of {} steps",
    "time_s": "{} worked for {} of {} s",
}
AT_LEAST: dict[Measure, float] = {"cost_usd": 1.0, "tokens": 100_000, "steps": 20, "time_s": 600}
"""No grant is so little that the next call reaches the budget again."""


@dataclass(frozen=True)
class Whose:
    """The budget of a task, or of a user or a project in a period (`2026-11` or `2026-11-21`)."""

    owner: str = "task"
    owner_id: str = ""
    name: str = ""
    period: str = ""

    def words(self) -> str:
        return "The task has" if self.owner == "task" else f"The {self.owner} {self.name or self.owner_id} has"

    def subject(self) -> Json:
        if self.owner == "task":
            return {"owner": self.owner}
        return {"owner": self.owner, "owner_id": self.owner_id, "name": self.name or self.owner_id, "period": self.period}


def reached(kind: Measure, spent: float, limit: float, more: float, whose: Whose | None = None) -> BudgetReached:
    """The error that says what was used up; `details` is the subject of the question. What was used beyond the limit is granted on top."""
    whose = whose or Whose()
    more = _rounded_up(kind, max(more, AT_LEAST[kind]) + max(0.0, spent - limit))
    said = _SUMMARIES[kind].format(whose.words(), _number(kind, spent), _number(kind, limit))
    said += f" in {period_words(whose.period)}." if whose.period else "."
    error = BudgetReached(said, "Approve a larger budget, or send the request again with one.")
    error.details = {
        **whose.subject(),
        "kind": kind,
        "spent": round(spent, 8),
        "limit": limit,
        "more": more,
        "question": _QUESTIONS[kind].format(_number(kind, more)),
        "summary": said,
    }
    return error


def _rounded_up(kind: Measure, value: float) -> float:
    return math.ceil(round(value * 100, 6)) / 100 if kind == "cost_usd" else float(math.ceil(round(value, 6)))


def _number(kind: Measure, value: float) -> str:
    return f"{value:,.2f}" if kind == "cost_usd" else f"{value:,.0f}"
