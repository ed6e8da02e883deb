"""What users and projects have used in a day or a month, and what was granted beyond: one row each, added to with every call."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.types import Json


@dataclass(frozen=True, order=True)
class Account:
    """`owner` is user or project; `period` a day (2026-11-21) or a month (2026-11)."""

    owner: str
    owner_id: str
    period: str


@dataclass(frozen=True)
class Amounts:
    """US dollars, tokens, calls of a model, seconds of work; `unpriced_calls` are those whose dollars are unknown."""

    cost_usd: float = 0.0
    tokens: int = 0
    steps: int = 0
    time_s: float = 0.0
    unpriced_calls: int = 0


@dataclass(frozen=True)
class Balance:
    """`more_` is what people granted for the period. Of a project also its name and its own budget."""

    owner: str
    owner_id: str
    period: str
    cost_usd: float = 0.0
    tokens: int = 0
    steps: int = 0
    time_s: float = 0.0
    unpriced_calls: int = 0
    more_cost_usd: float = 0.0
    more_tokens: int = 0
    more_steps: int = 0
    more_time_s: float = 0.0
    name: str | None = None
    budget: Json | None = None

    @property
    def account(self) -> Account:
        return Account(self.owner, self.owner_id, self.period)


_USED = [field.name for field in fields(Amounts)]
_MORE = {"cost_usd": "numeric", "tokens": "bigint", "steps": "bigint", "time_s": "numeric"}
_WANTED = "unnest(CAST(:owners AS text[]), CAST(:ids AS text[]), CAST(:periods AS text[])) AS w(owner, owner_id, period)"
_AMOUNTS = [*_USED, *(f"more_{name}" for name in _MORE)]
_COLUMNS = ", ".join(f"s.{name}{'::float8' if name.endswith(('_usd', '_s')) else ''} AS {name}" for name in _AMOUNTS)
_READ = text(
    f"SELECT w.owner, w.owner_id, w.period, {_COLUMNS}, p.name, p.budget FROM {_WANTED} "
    "LEFT JOIN spending s USING (owner, owner_id, period) LEFT JOIN projects p ON w.owner = 'project' AND p.id = w.owner_id "
    "ORDER BY w.owner, w.owner_id, w.period"
)
_OF_TASK = text(
    f"SELECT s.owner, s.period, {_COLUMNS}, p.name, p.budget FROM (SELECT) AS one LEFT JOIN projects p ON p.id = :project "
    "LEFT JOIN spending s ON s.period IN (:day, :month) "
    "AND ((s.owner = 'user' AND s.owner_id = :user) OR (s.owner = 'project' AND s.owner_id = :project))"
)
_ADD = text(
    f"INSERT INTO spending AS s (owner, owner_id, period, {', '.join(_USED)}) "
    f"SELECT w.owner, w.owner_id, w.period, {', '.join(f':{name}' for name in _USED)} FROM {_WANTED} "
    "ORDER BY w.owner, w.owner_id, w.period ON CONFLICT (owner, owner_id, period) "
    f"DO UPDATE SET {', '.join(f'{name} = s.{name} + excluded.{name}' for name in _USED)}"
)
_GRANT = {
    name: text(
        f"INSERT INTO spending AS s (owner, owner_id, period, more_{name}) VALUES (:owner, :owner_id, :period, CAST(:more AS {kind})) "
        f"ON CONFLICT (owner, owner_id, period) DO UPDATE SET more_{name} = s.more_{name} + excluded.more_{name}"
    )
    for name, kind in _MORE.items()
}


async def balances(tx: AsyncConnection, accounts: Iterable[Account]) -> list[Balance]:
    """Each account as it is; one that never used anything has zeros."""
    return [_balance(**row._mapping) for row in await tx.execute(_READ, _named(accounts))]


async def of_task(tx: AsyncConnection, user_id: str, project_id: str | None, day: str, month: str) -> list[Balance]:
    """Those of a user, and of a project where there is one: day, then month. Asked before every call, so one small query."""
    given = {"user": user_id, "project": project_id or "", "day": day, "month": month}
    rows = [dict(row._mapping) for row in await tx.execute(_OF_TASK, given)]
    found = {(row["owner"], row["period"]): row for row in rows}
    about = {"name": rows[0]["name"], "budget": rows[0]["budget"]}
    owners: list[tuple[str, str, Json]] = [("user", user_id, {"name": None, "budget": None})]
    owners += [("project", project_id, about)] if project_id is not None else []
    return [
        _balance(**found.get((owner, period), {}) | {"owner": owner, "owner_id": owner_id, "period": period} | own)
        for owner, owner_id, own in owners
        for period in (day, month)
    ]


async def add(tx: AsyncConnection, accounts: Sequence[Account], used: Amounts) -> None:
    """Add what a call used to each. Holds their rows until the end of the transaction, always in the same order: do it late."""
    await tx.execute(_ADD, _named(accounts) | {name: getattr(used, name) for name in _USED})


async def grant(tx: AsyncConnection, account: Account, measure: str, more: float) -> None:
    """Raise the account's budget of a measure, for its period."""
    given = {"owner": account.owner, "owner_id": account.owner_id, "period": account.period, "more": more}
    await tx.execute(_GRANT[measure], given)


def _balance(**columns: Any) -> Balance:
    """One that never used anything has NULL for its amounts."""
    return Balance(**{name: value for name, value in columns.items() if value is not None})


def _named(accounts: Iterable[Account]) -> dict[str, Any]:
    wanted = sorted(set(accounts))
    return {
        "owners": [one.owner for one in wanted],
        "ids": [one.owner_id for one in wanted],
        "periods": [one.period for one in wanted],
    }
