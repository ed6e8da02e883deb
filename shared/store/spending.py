"""What users and projects have used in a day or a month, and what was granted beyond: one row each, added to with every call."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

from pydantic import BaseModel
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


class Balance(BaseModel):
    """`more_` is what people granted for the period. Of a project also its name and its own budget."""

    owner: str
    owner_id: str
    period: str
    cost_usd: float
    tokens: int
    steps: int
    time_s: float
    unpriced_calls: int
    more_cost_usd: float
    more_tokens: float
    more_steps: float
    more_time_s: float
    name: str | None
    budget: Json | None

    @property
    def account(self) -> Account:
        return Account(self.owner, self.owner_id, self.period)


_USED = [field.name for field in fields(Amounts)]
_MORE = {"cost_usd": "numeric", "tokens": "bigint", "steps": "bigint", "time_s": "numeric"}
_WANTED = "unnest(CAST(:owners AS text[]), CAST(:ids AS text[]), CAST(:periods AS text[])) AS w(owner, owner_id, period)"
_COLUMNS = ", ".join(f"coalesce(s.{name}, 0) AS {name}" for name in (*_USED, *(f"more_{name}" for name in _MORE)))
_READ = text(
    f"SELECT w.owner, w.owner_id, w.period, {_COLUMNS}, p.name, p.budget FROM {_WANTED} "
    "LEFT JOIN spending s USING (owner, owner_id, period) LEFT JOIN projects p ON w.owner = 'project' AND p.id = w.owner_id "
    "ORDER BY w.owner, w.owner_id, w.period"
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
    rows = await tx.execute(_READ, _named(accounts))
    return [Balance.model_validate(dict(row._mapping)) for row in rows]


async def add(tx: AsyncConnection, accounts: Sequence[Account], used: Amounts) -> None:
    """Add what a call used to each. Holds their rows until the end of the transaction, always in the same order: do it late."""
    await tx.execute(_ADD, _named(accounts) | {name: getattr(used, name) for name in _USED})


async def grant(tx: AsyncConnection, account: Account, measure: str, more: float) -> None:
    """Raise the account's budget of a measure, for its period."""
    given = {"owner": account.owner, "owner_id": account.owner_id, "period": account.period, "more": more}
    await tx.execute(_GRANT[measure], given)


def _named(accounts: Iterable[Account]) -> dict[str, Any]:
    wanted = sorted(set(accounts))
    return {
        "owners": [one.owner for one in wanted],
        "ids": [one.owner_id for one in wanted],
        "periods": [one.period for one in wanted],
    }
