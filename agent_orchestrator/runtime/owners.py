"""The budgets of the user and the project a task belongs to: looked at before each call, added to with each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncConnection

from agent_orchestrator.runtime.questions import Whose, reached
from shared.errors import TaskFailedError
from shared.models.limits import MEASURES, PERIODS, Measure, PeriodLimits, PeriodName, period_key
from shared.models.port import Usage
from shared.store import spending
from shared.store.database import Database
from shared.store.spending import Account, Amounts, Balance
from shared.types import Json, utcnow

SHARE = 0.1
"""What a person is asked to grant: a tenth of the limit."""


@dataclass(frozen=True)
class OwnerBudgets:
    """`user` are the limits of the user; `project` the most any project may have, which a project's own budget can only lower."""

    user_id: str
    project_id: str | None
    user: PeriodLimits
    project: PeriodLimits

    async def check(self, database: Database, working_s: float, unpriced: Sequence[str]) -> None:
        """`BudgetReached` when one is used up; `working_s` seconds of work are not in the record yet.

        `TaskFailedError` (`price_unknown`) where dollars are limited and the price of a model in `unpriced` is not known.
        """
        if self.project_id is None and not self.user.any:
            return
        now = utcnow()
        day, month = (period_key(period, now) for period in PERIODS)
        async with database.connection() as connection:
            found = await spending.of_task(connection, self.user_id, self.project_id, day, month)
        for balance in found:
            self._check(balance, working_s, unpriced)

    async def add(self, tx: AsyncConnection, calls: Sequence[Usage], seconds: float) -> None:
        """What calls used, in the transaction that adds it to the task's cost: as its last step, the rows are others' too."""
        used = Amounts(
            cost_usd=sum(usage.cost_usd or 0.0 for usage in calls),
            tokens=sum(usage.input_tokens + usage.output_tokens for usage in calls),
            steps=len(calls),
            time_s=round(seconds, 3),
            unpriced_calls=sum(usage.cost_usd is None for usage in calls),
        )
        await spending.add(tx, self._accounts(utcnow()), used)

    def _accounts(self, now: datetime) -> list[Account]:
        owners = [("user", self.user_id)] + ([("project", self.project_id)] if self.project_id is not None else [])
        return [Account(owner, owner_id, period_key(period, now)) for owner, owner_id in owners for period in PERIODS]

    def _check(self, balance: Balance, working_s: float, unpriced: Sequence[str]) -> None:
        limits = limits_of(balance, self.user if balance.owner == "user" else self.project)
        whose = Whose(balance.owner, balance.owner_id, balance.name or "", balance.period)
        for measure in MEASURES:
            limit = limits.of(measure, period_of(balance))
            if limit is None:
                continue
            if measure == "cost_usd" and unpriced:
                raise price_unknown(f"the {balance.owner} {whose.name or whose.owner_id}", unpriced)
            spent = float(getattr(balance, measure)) + (working_s if measure == "time_s" else 0.0)
            granted = limit + float(getattr(balance, f"more_{measure}"))
            if spent >= granted:
                raise reached(measure, spent, granted, limit * SHARE, whose)


def period_of(balance: Balance) -> PeriodName:
    return "day" if balance.period.count("-") == 2 else "month"


def limits_of(balance: Balance, operators: PeriodLimits) -> PeriodLimits:
    """The operator's limits; of a project the lower ones of those and its own. A stored budget that cannot be read allows nothing."""
    return operators if balance.owner == "user" else operators.lower(own_limits(balance.budget))


def own_limits(budget: Json | None) -> PeriodLimits:
    try:
        return PeriodLimits.model_validate(budget or {})
    except ValidationError:
        return PeriodLimits(steps_per_day=0)


def price_unknown(whose: str, unpriced: Sequence[str]) -> TaskFailedError:
    return TaskFailedError(
        f"The cost of {whose} is limited, but the price of {', '.join(unpriced)} is unknown.",
        "Add the price to a file named by PERSEVERE_MODEL_PRICES, or limit tokens and steps instead of dollars.",
        code="price_unknown",
    )


def grant_of(subject: Json) -> tuple[Account, Measure, float] | None:
    """What an approved question grants to a user or a project; None for a task's own budget."""
    if subject.get("owner", "task") == "task":
        return None
    measure: Measure = subject["kind"]
    more = float(subject["more"])
    account = Account(str(subject["owner"]), str(subject["owner_id"]), str(subject["period"]))
    return account, measure, more if measure in ("cost_usd", "time_s") else math.ceil(more)
