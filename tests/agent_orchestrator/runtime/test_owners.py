"""Budgets of users and projects: one question for all tasks that reach the same one; who raises it lets them all go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent_orchestrator.resources import Resources
from agent_orchestrator.runtime.owners import OwnerBudgets
from agent_orchestrator.tasks.service import TaskService
from config.settings import Settings, load_settings
from shared.errors import ConflictError
from shared.models.limits import PeriodLimits, period_key
from shared.models.port import BudgetReached, Usage
from shared.store import approvals, projects, spending
from shared.store.database import Database
from shared.store.records import Project
from shared.store.spending import Account, Amounts
from shared.types import ApprovalStatus, Gate, Json, TaskStatus, utcnow
from tests.agent_orchestrator.http_server import run_server
from tests.agent_orchestrator.runtime.calling import USER, events_of, submit, working_on_calls
from tests.agent_orchestrator.runtime.driving import decide, ended, waiting
from tests.stand_ins.openai import OpenAIStandIn
from tests.stand_ins.script import Answer, serving

KEY = "sk-owners-0123456789abcdef"
MONTH = period_key("month", utcnow())


@pytest.fixture
async def provider() -> AsyncIterator[OpenAIStandIn]:
    async with serving(OpenAIStandIn(KEY)) as stand_in:
        yield stand_in


def settings_with(tmp_path: Path, postgres_url: str, provider: OpenAIStandIn, **limits: float) -> Settings:
    """A dollar for a thousand tokens in."""
    prices = tmp_path / "prices.yaml"
    prices.write_text('prices: {"openai:big": {input: 1000, output: 10000}}')
    environment = {
        "DATABASE_URL": postgres_url,
        "OPENAI_API_KEY": KEY,
        "OPENAI_BASE_URL": provider.base_url,
        "PERSEVERE_MODEL": "openai:big",
        "PERSEVERE_MODEL_PRICES": str(prices),
        "PERSEVERE_DATA_DIR": str(tmp_path / "data"),
    }
    return load_settings(environment | {f"PERSEVERE_BUDGET_{name.upper()}": str(value) for name, value in limits.items()})


def dollars(*words: str) -> list[Answer]:
    return [Answer((word,), input_tokens=1000, output_tokens=0) for word in words]


async def make_project(resources: Resources, **budget: float) -> str:
    project = Project(id="project_w", user_id=USER, name="Weather", repo="/r", budget=dict(budget))
    async with resources.database.transaction() as tx:
        await projects.insert(tx, project)
    return project.id


async def balance(database: Database, owner: str, owner_id: str) -> spending.Balance:
    async with database.connection() as connection:
        return (await spending.balances(connection, [Account(owner, owner_id, MONTH)]))[0]


async def test_a_users_month_asks_and_a_yes_raises_it_for_the_month(tmp_path: Path, postgres_url: str, provider: OpenAIStandIn) -> None:
    provider.say(*dollars("one", "two", "three"))
    settings = settings_with(tmp_path, postgres_url, provider, user_usd_per_month=2)
    async with working_on_calls(settings) as resources:
        first = await submit(resources)
        asked = await waiting(resources, first.id)
        assert asked.gate is Gate.BUDGET
        assert asked.title.startswith("Spend 1.00 USD more? The user local has spent 2.00 of 2.00 USD in ")
        told = {key: asked.subject[key] for key in ("owner", "owner_id", "period", "kind", "spent", "limit", "more")}
        assert told == {
            "owner": "user",
            "owner_id": USER,
            "period": MONTH,
            "kind": "cost_usd",
            "spent": 2.0,
            "limit": 2.0,
            "more": 1.0,
        }
        assert provider.calls == 2
        await decide(resources, asked, "approve")
        assert (await ended(resources, first.id)).outcome == "one two three"
        raised = await balance(resources.database, "user", USER)
        assert (raised.cost_usd, raised.more_cost_usd, raised.tokens, raised.steps) == (3.0, 1.0, 3000, 3)
        second = await submit(resources)
        again = await waiting(resources, second.id)
        assert (again.subject["spent"], again.subject["limit"]) == (3.0, 3.0)
        await decide(resources, again, "reject")
        done = await ended(resources, second.id)
        last = (await events_of(resources, second.id))[-1]
    assert (done.status, done.outcome) == (TaskStatus.CANCELLED, "rejected")
    assert "budget was used up" in last.data["notes"][0]


async def test_tasks_that_run_at_once_overrun_by_no_more_than_their_call_in_flight(
    tmp_path: Path, postgres_url: str, provider: OpenAIStandIn
) -> None:
    provider.say(*dollars(*"abcdefghijkl"))
    settings = settings_with(tmp_path, postgres_url, provider, user_usd_per_month=5)
    async with working_on_calls(settings) as resources:
        made = [await submit(resources) for _ in range(4)]
        asked = [await waiting(resources, task.id) for task in made]
        spent = (await balance(resources.database, "user", USER)).cost_usd
        assert 5 <= spent <= 5 + 3, "four at work: three calls may have been under way when the budget was reached"
        assert provider.calls == spent
        more = max(asked, key=lambda one: one.subject["more"])
        await decide(resources, more, "approve")
        async with resources.database.connection() as connection:
            states = [(await approvals.get(connection, one.id) or one).status for one in asked if one.id != more.id]
        assert states == [ApprovalStatus.SUPERSEDED] * 3
        for _ in range(12):
            left = [task for task in made if not (await TaskService(resources).get(task.id, USER)).status.is_final]
            if not left:
                break
            await _answer_next(resources, [task.id for task in left])
        assert [(await ended(resources, task.id)).status for task in made] == [TaskStatus.COMPLETED] * 4
        assert (await balance(resources.database, "user", USER)).cost_usd == 12.0


async def _answer_next(resources: Resources, task_ids: list[str]) -> None:
    """Say yes to whatever waits after a moment; a question that another's answer made needless is left."""
    await asyncio.sleep(0.5)
    for task_id in task_ids:
        async with resources.database.connection() as connection:
            pending = await approvals.pending_for_task(connection, task_id)
        if pending is not None:
            try:
                await decide(resources, pending, "approve")
            except ConflictError:
                continue


async def test_a_projects_own_budget_lowers_the_operators_and_counts_its_tasks_alone(
    tmp_path: Path, postgres_url: str, provider: OpenAIStandIn
) -> None:
    provider.say(*dollars("one", "two", "three", "x", "y"))
    settings = settings_with(tmp_path, postgres_url, provider, project_usd_per_day=100, project_tokens_per_month=1_000_000)
    async with working_on_calls(settings) as resources:
        project_id = await make_project(resources, tokens_per_month=1500, usd_per_day=1000)
        assert (await ended(resources, (await submit(resources)).id)).outcome == "one two three"
        task = await submit(resources, project_id)
        asked = await waiting(resources, task.id)
        assert asked.title.startswith("Use 100,500 tokens more? The project Weather has used 2,000 of 1,500 tokens in ")
        assert (asked.subject["owner"], asked.subject["owner_id"]) == ("project", project_id)
        assert (await balance(resources.database, "project", project_id)).tokens == 2000
        assert (await balance(resources.database, "user", USER)).tokens == 5000


async def test_a_project_that_gets_a_larger_budget_lets_its_tasks_go_on(tmp_path: Path, postgres_url: str, provider: OpenAIStandIn) -> None:
    provider.say(*dollars("one", "two", "three"))
    settings = settings_with(tmp_path, postgres_url, provider)
    async with working_on_calls(settings) as resources, run_server(resources) as running, running.client() as client:
        project_id = await make_project(resources, usd_per_month=1)
        task = await submit(resources, project_id)
        first = await waiting(resources, task.id)
        assert (await client.patch(f"/projects/{project_id}", json={"budget": {"usd_per_month": 2}})).status_code == 200
        async with asyncio.timeout(30):
            while (second := await waiting(resources, task.id)).id == first.id:
                await asyncio.sleep(0.05)
        assert (second.subject["spent"], second.subject["limit"]) == (2.0, 2.0)
        await client.patch(f"/projects/{project_id}", json={"budget": None})
        assert (await ended(resources, task.id)).outcome == "one two three"


async def test_a_limited_user_needs_known_prices(tmp_path: Path, postgres_url: str, provider: OpenAIStandIn) -> None:
    settings = settings_with(tmp_path, postgres_url, provider, user_usd_per_month=100)
    async with working_on_calls(settings) as resources:
        done = await ended(resources, (await submit(resources, model="openai:small")).id)
    assert done.error is not None
    assert (done.error.code, provider.calls) == ("price_unknown", 0)
    assert "user local" in done.error.message


async def test_nobody_grants_what_was_not_asked(tmp_path: Path, postgres_url: str, provider: OpenAIStandIn) -> None:
    provider.say(*dollars("one"))
    settings = settings_with(tmp_path, postgres_url, provider, user_usd_per_month=1)
    async with working_on_calls(settings) as resources:
        asked = await waiting(resources, (await submit(resources)).id)
        forged = asked.model_copy(update={"id": "appr_forged", "gate": Gate.DIFF, "subject": {**asked.subject, "more": 1e6}})
        async with resources.database.transaction() as tx:
            await approvals.insert(tx, forged)
            await tx.exec_driver_sql("UPDATE approvals SET gate = 'pr' WHERE id = 'appr_forged'")
        await decide(resources, forged, "approve")
        assert (await balance(resources.database, "user", USER)).more_cost_usd == 0
        async with resources.database.transaction() as tx:
            await tx.exec_driver_sql("UPDATE approvals SET subject = replace(subject::text, '\"more\": 1.0', '\"more\": 1e6')::json")
        with pytest.raises(ConflictError) as refused:
            await decide(resources, asked, "approve")
        assert refused.value.code == "approval_mismatch"
        assert (await balance(resources.database, "user", USER)).more_cost_usd == 0


@pytest.mark.parametrize(
    ("limits", "used", "kind"),
    [
        ({"usd_per_day": 1.0}, Amounts(cost_usd=1.0), "cost_usd"),
        ({"tokens_per_month": 10}, Amounts(tokens=10), "tokens"),
        ({"steps_per_day": 3, "usd_per_month": 0.5}, Amounts(steps=3), "steps"),
        ({"seconds_per_month": 60}, Amounts(time_s=59.5), "time_s"),
        ({"steps_per_month": 0}, Amounts(), "steps"),
    ],
)
async def test_each_measure_is_limited(database: Database, limits: Json, used: Amounts, kind: str) -> None:
    owners = OwnerBudgets("ann", None, PeriodLimits(**limits), PeriodLimits())
    now = utcnow()
    async with database.transaction() as tx:
        await spending.add(tx, [Account("user", "ann", period_key(period, now)) for period in ("day", "month")], used)
        await spending.add(tx, [Account("user", "bob", period_key("day", now)), Account("user", "ann", "2020-01")], Amounts(tokens=10**9))
    with pytest.raises(BudgetReached) as asked:
        await owners.check(database, 0.6, ())
    assert asked.value.details["kind"] == kind
    await OwnerBudgets("bob", None, PeriodLimits(usd_per_day=1), PeriodLimits()).check(database, 0, ())


async def test_a_new_period_begins_with_nothing(database: Database) -> None:
    async with database.transaction() as tx:
        await spending.add(tx, [Account("user", "ann", "2020-01"), Account("user", "ann", "2020-01-01")], Amounts(cost_usd=9.0))
    await OwnerBudgets("ann", None, PeriodLimits(usd_per_day=1, usd_per_month=1), PeriodLimits()).check(database, 0, ())


async def test_a_budget_that_cannot_be_read_allows_nothing(database: Database) -> None:
    async with database.transaction() as tx:
        await projects.insert(tx, Project(id="project_w", user_id=USER, name="Weather", repo="/r", budget={"usd_per_week": 3}))
    with pytest.raises(BudgetReached):
        await OwnerBudgets(USER, "project_w", PeriodLimits(), PeriodLimits()).check(database, 0, ())
    await OwnerBudgets(USER, "project_gone", PeriodLimits(), PeriodLimits()).check(database, 0, ())


async def test_many_calls_at_once_are_all_counted(database: Database) -> None:
    owners = OwnerBudgets("ann", "project_w", PeriodLimits(), PeriodLimits())

    async def call() -> None:
        async with database.transaction() as tx:
            await owners.add(tx, [Usage(3, 4, 0.00000001)], 0.001)

    await asyncio.gather(*(call() for _ in range(200)))
    for owner, owner_id in (("user", "ann"), ("project", "project_w")):
        found = await balance(database, owner, owner_id)
        assert (found.tokens, found.steps, found.cost_usd, found.time_s) == (1400, 200, 0.000002, 0.2)


async def test_among_many_owners_nothing_but_their_own_rows_is_looked_at(database: Database) -> None:
    async with database.transaction() as tx:
        await tx.exec_driver_sql(
            "INSERT INTO spending (owner, owner_id, period, tokens) "
            "SELECT 'user', 'user_' || n, '2026-11', n FROM generate_series(1, 50000) n"
        )
        await tx.exec_driver_sql("ANALYZE spending")
    owners = OwnerBudgets("ann", "project_w", PeriodLimits(usd_per_month=10), PeriodLimits(usd_per_month=10))
    async with database.transaction() as tx:
        await owners.add(tx, [Usage(3, 4, 0.001)], 0.001)
        await spending.of_task(tx, "ann", "project_w", "2026-11-21", "2026-11")
        scans = "SELECT seq_scan, idx_scan FROM pg_stat_xact_user_tables WHERE relname = 'spending'"
        found = (await tx.exec_driver_sql(scans)).mappings().one()
    assert (found["seq_scan"], found["idx_scan"] > 0) == (0, True)
