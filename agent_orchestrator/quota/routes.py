"""What the caller may use, and has used."""

from __future__ import annotations

from fastapi import APIRouter

from agent_orchestrator.dependencies import Given, Paged
from agent_orchestrator.errors import problems
from agent_orchestrator.quota.schemas import PeriodView, Quota
from shared.models.limits import PERIODS, period_key
from shared.store import projects, spending
from shared.store.spending import Account
from shared.types import utcnow

router = APIRouter(tags=["models"])


@router.get("/quota", response_model=Quota, responses=problems())
async def quota(given: Given, paged: Paged) -> Quota:
    """Your budgets and those of your projects for this day and month, and what was used of them."""
    now = utcnow()
    periods = [period_key(period, now) for period in PERIODS]
    async with given.resources.database.connection() as tx:
        mine, cursor = await projects.list_(tx, given.user_id, limit=paged.limit, cursor=paged.cursor)
        owners = [("user", given.user_id), *(("project", project.id) for project in mine)]
        found = await spending.balances(tx, [Account(owner, owner_id, period) for owner, owner_id in owners for period in periods])
    known = {balance.account: balance for balance in found}
    settings = given.settings
    limits = {"user": settings.limits_of("user"), "project": settings.limits_of("project")}
    shown = [known[Account(owner, owner_id, period)] for owner, owner_id in owners for period in periods]
    return Quota(
        items=[PeriodView.of(balance, limits[balance.owner]) for balance in shown],
        next_cursor=cursor,
        requests_per_minute=settings.requests_per_minute or None,
        runs_at_once=settings.worker_runs_per_user or None,
    )
