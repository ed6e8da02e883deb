"""Limits and use, as the caller sees them, and a project's budget over HTTP."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_orchestrator.resources import Resources, open_resources
from config.settings import Settings
from shared.models.limits import period_key
from shared.store import spending
from shared.store.spending import Account, Amounts
from shared.types import Json, utcnow
from tests.agent_orchestrator.http_server import run_server


async def test_limits_use_and_grants_of_the_caller_and_the_projects(settings: Settings, repository: Path) -> None:
    limited = settings.model_copy(update={"budget_user_usd_per_month": 10.0, "budget_project_tokens_per_day": 1000.0})
    async with open_resources(limited, worker=False) as resources, run_server(resources) as running, running.client() as client:
        body = {"name": "Weather", "repo": str(repository), "budget": {"tokens_per_day": 5000, "usd_per_day": 2}}
        made = (await client.post("/projects", json=body)).json()
        month = Account("user", "local", period_key("month", utcnow()))
        async with resources.database.transaction() as tx:
            await spending.add(tx, [month, Account("user", "bob", month.period)], Amounts(cost_usd=1.25, tokens=10, steps=1))
            await spending.grant(tx, month, "cost_usd", 3.0)
        answer = (await client.get("/quota")).json()
    assert made["budget"] == {**dict.fromkeys(made["budget"]), "tokens_per_day": 5000, "usd_per_day": 2}
    shown = [(one["owner"], one["name"], one["period"].count("-")) for one in answer["items"]]
    assert shown == [("user", "local", 2), ("user", "local", 1), ("project", "Weather", 2), ("project", "Weather", 1)]
    assert answer["items"][1]["cost_usd"] == {"used": 1.25, "limit": 13.0}
    assert answer["items"][1]["tokens"] == {"used": 10, "limit": None}
    assert answer["items"][2]["tokens"] == {"used": 0, "limit": 1000}, "the operator's is lower"
    assert answer["items"][2]["cost_usd"] == {"used": 0, "limit": 2}
    assert (answer["requests_per_minute"], answer["next_cursor"]) == (None, None)


async def test_a_projects_budget_is_changed_as_a_whole_and_taken_away(resources: Resources, repository: Path) -> None:
    async with run_server(resources) as running, running.client() as client:
        made = (await client.post("/projects", json={"name": "Weather", "repo": str(repository)})).json()
        path = f"/projects/{made['project_id']}"
        changed = (await client.patch(path, json={"budget": {"usd_per_month": 50}})).json()
        renamed = (await client.patch(path, json={"name": "Climate"})).json()
        gone = (await client.patch(path, json={"budget": None})).json()
    assert made["budget"] is None
    assert changed["budget"]["usd_per_month"] == 50
    assert (renamed["name"], renamed["budget"]) == ("Climate", changed["budget"])
    assert gone["budget"] is None


@pytest.mark.parametrize("budget", [{"usd_per_week": 1}, {"usd_per_day": -1}, {"usd_per_day": "lots"}, {"tokens_per_day": 1e300}, [], 5])
async def test_a_wrong_budget_is_refused(budget: Json, resources: Resources, repository: Path) -> None:
    async with run_server(resources) as running, running.client() as client:
        refused = await client.post("/projects", json={"name": "Weather", "repo": str(repository), "budget": budget})
    assert (refused.status_code, "budget" in refused.json()["detail"]) == (422, True)
