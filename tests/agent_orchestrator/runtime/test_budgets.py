"""A task that uses up its budget asks, waits, and goes on where it was: real worker, real database, a provider's stand-in."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent_orchestrator.tasks.service import TaskService
from config.settings import Settings, load_settings
from shared import metrics
from shared.errors import InvalidRequestError
from shared.recipes.repository_config import RepositoryConfig
from shared.types import Gate, RiskLevel, TaskStatus
from tests.agent_orchestrator.runtime.calling import events_of, submit, working_on_calls
from tests.agent_orchestrator.runtime.driving import decide, ended, waiting
from tests.stand_ins.openai import OpenAIStandIn
from tests.stand_ins.script import Answer, serving

KEY = "sk-budget-0123456789abcdef"


@pytest.fixture
async def provider() -> AsyncIterator[OpenAIStandIn]:
    async with serving(OpenAIStandIn(KEY)) as stand_in:
        yield stand_in


@pytest.fixture
def settings(tmp_path: Path, postgres_url: str, provider: OpenAIStandIn) -> Settings:
    prices = tmp_path / "prices.yaml"
    prices.write_text('prices: {"openai:big": {input: 1000, output: 10000}}')
    return load_settings(
        {
            "DATABASE_URL": postgres_url,
            "OPENAI_API_KEY": KEY,
            "OPENAI_BASE_URL": provider.base_url,
            "PERSEVERE_MODEL": "openai:big",
            "PERSEVERE_MODEL_PRICES": str(prices),
            "PERSEVERE_DATA_DIR": str(tmp_path / "data"),
        }
    )


async def test_usage_and_cost_are_kept_and_told(settings: Settings, provider: OpenAIStandIn) -> None:
    provider.say(*[Answer((word,), input_tokens=100, output_tokens=10) for word in ("one", "two", "three")])
    async with working_on_calls(settings) as resources:
        done = await ended(resources, (await submit(resources)).id)
        told = [event.data for event in await events_of(resources, done.id) if event.type == "usage"]
    assert done.outcome == "one two three"
    assert (done.cost["tokens"], done.cost["calls"], done.cost["unpriced_calls"]) == (330, 3, 0)
    assert done.cost["cost_usd"] == pytest.approx(0.6)
    assert [(one["tokens"], one["cost_usd"]) for one in told] == [(110, pytest.approx(0.2))] * 3
    assert told[-1]["total"]["tokens"] == 330
    counted = metrics.render().decode()
    assert 'model_tokens_total{kind="input",model="big",provider="openai"}' in counted
    assert "model_cost_usd_total" in counted


async def test_a_reached_budget_asks_and_an_approval_goes_on(settings: Settings, provider: OpenAIStandIn) -> None:
    provider.say(*[Answer((word,), input_tokens=1000, output_tokens=0) for word in ("one", "two", "three")])
    async with working_on_calls(settings) as resources:
        task = await submit(resources, cost_budget_usd=2)
        asked = await waiting(resources, task.id)
        assert (asked.gate, asked.risk.level) == (Gate.BUDGET, RiskLevel.HIGH)
        assert asked.title == "Spend 2.00 USD more? The task has spent 2.00 of 2.00 USD."
        assert (asked.subject["spent"], asked.subject["more"]) == (2.0, 2.0)
        held = await TaskService(resources).get(task.id, "local")
        assert (held.status, held.waiting_for, provider.calls) == (TaskStatus.WAITING, "approval of the budget", 2)
        async with resources.database.transaction() as tx:
            await resources.jobs.enqueue(tx, task.id)
        await asyncio.sleep(0.5)
        assert (await waiting(resources, task.id)).id == asked.id
        await decide(resources, asked, "approve")
        done = await ended(resources, task.id)
        statuses = [event.data["new_status"] for event in await events_of(resources, task.id) if event.type == "status_update"]
    assert (done.status, done.outcome, done.cost["cost_usd"]) == (TaskStatus.COMPLETED, "one two three", 3.0)
    assert statuses[statuses.index("waiting") + 1] == "coding"


async def test_a_refused_budget_ends_the_task_and_a_retry_asks_again(settings: Settings, provider: OpenAIStandIn) -> None:
    provider.say(Answer(("one",), input_tokens=3000, output_tokens=0))
    async with working_on_calls(settings) as resources:
        task = await submit(resources, cost_budget_usd=2)
        await decide(resources, await waiting(resources, task.id), "reject")
        done = await ended(resources, task.id)
        assert (done.status, done.outcome) == (TaskStatus.CANCELLED, "rejected")
        (said,) = (await events_of(resources, task.id))[-1].data["notes"]
        assert said.endswith("A retry begins anew and needs a larger budget: what was used stays counted.")
        await TaskService(resources).retry(task.id, "local")
        again = await waiting(resources, task.id)
        assert (again.gate, again.revision) == (Gate.BUDGET, 2)
        await decide(resources, again, "reject")
        assert (await ended(resources, task.id)).status is TaskStatus.CANCELLED
    assert provider.calls == 1


async def test_a_repository_lowers_a_budget_and_never_raises_it(settings: Settings, provider: OpenAIStandIn) -> None:
    provider.say(Answer(("one",), input_tokens=1000, output_tokens=0))
    lower = RepositoryConfig.model_validate({"budget": {"cost_usd": 0.5, "time_s": 10_000_000}})
    async with working_on_calls(settings, lower) as resources:
        asked = await waiting(resources, (await submit(resources, cost_budget_usd=4)).id)
    assert "of 0.50 USD" in asked.title


async def test_a_time_budget_counts_work(settings: Settings, provider: OpenAIStandIn) -> None:
    async with working_on_calls(settings) as resources:
        asked = await waiting(resources, (await submit(resources, time_budget_s=0.0001)).id)
    assert asked.subject["kind"] == "time_s"
    assert provider.calls == 0


async def test_a_limited_cost_needs_a_known_price(settings: Settings, provider: OpenAIStandIn) -> None:
    async with working_on_calls(settings) as resources:
        done = await ended(resources, (await submit(resources, model="openai:small", cost_budget_usd=1)).id)
    assert done.error is not None
    assert (done.error.code, provider.calls) == ("price_unknown", 0)
    assert "openai:small" in done.error.message


async def test_an_unknown_price_is_said_to_be_unknown(settings: Settings, provider: OpenAIStandIn) -> None:
    provider.say(Answer(("one",)), Answer(("two",)), Answer(("three",)))
    async with working_on_calls(settings) as resources:
        done = await ended(resources, (await submit(resources, model="openai:small")).id)
        told = [event.data for event in await events_of(resources, done.id) if event.type == "usage"]
    assert (done.cost["cost_usd"], done.cost["unpriced_calls"]) == (0.0, 3)
    assert {one["cost_usd"] for one in told} == {None}


async def test_a_wrong_key_fails_the_task_in_words_and_is_written_nowhere(settings: Settings, provider: OpenAIStandIn) -> None:
    provider.key = "another"
    async with working_on_calls(settings) as resources:
        done = await ended(resources, (await submit(resources)).id)
        written = "".join(event.wire.decode() for event in await events_of(resources, done.id))
    assert done.error is not None
    assert done.error.code == "model_key_rejected"
    assert "OPENAI_API_KEY" in done.error.next_step
    assert KEY not in written + done.model_dump_json()


async def test_a_retry_with_a_larger_budget_begins_anew_and_one_that_is_used_up_already_is_refused(
    settings: Settings, provider: OpenAIStandIn
) -> None:
    provider.say(*[Answer((word,), input_tokens=1000, output_tokens=0) for word in ("one", "two", "three", "four", "five")])
    async with working_on_calls(settings) as resources:
        task = await submit(resources, cost_budget_usd=1)
        first = await waiting(resources, task.id)
        await decide(resources, first, "approve")
        second = await waiting(resources, task.id)
        assert (second.subject["spent"], second.subject["limit"]) == (2.0, 2.0)
        await decide(resources, second, "reject")
        await ended(resources, task.id)
        with pytest.raises(InvalidRequestError) as refused:
            await TaskService(resources).retry(task.id, "local", cost_budget_usd=2)
        assert refused.value.code == "budget_too_small"
        await TaskService(resources).retry(task.id, "local", cost_budget_usd=4, time_budget_s=1000)
        third = await waiting(resources, task.id)
        assert (third.subject["spent"], third.subject["limit"]) == (4.0, 4.0), "what was granted before is part of the new budget"
        await decide(resources, third, "approve")
        done = await ended(resources, task.id)
    assert (done.status, done.cost["cost_usd"], done.request["time_budget_s"]) == (TaskStatus.COMPLETED, 5.0, 1000)
    assert done.outcome == "three four five"


async def test_a_repository_lowers_tokens_and_steps_too(settings: Settings, provider: OpenAIStandIn) -> None:
    provider.say(Answer(("one",), input_tokens=1000, output_tokens=0))
    lower = RepositoryConfig.model_validate({"budget": {"steps": 1, "tokens": 10_000_000_000}})
    async with working_on_calls(settings, lower) as resources:
        asked = await waiting(resources, (await submit(resources)).id)
    assert (asked.subject["kind"], asked.subject["limit"]) == ("steps", 1)


async def test_what_was_used_beyond_the_budget_is_granted_on_top(settings: Settings, provider: OpenAIStandIn) -> None:
    """Else the next call would reach it again."""
    provider.say(*[Answer((word,), input_tokens=9500, output_tokens=0) for word in ("one", "two", "three")])
    async with working_on_calls(settings) as resources:
        task = await submit(resources, cost_budget_usd=1)
        asked = await waiting(resources, task.id)
        assert (asked.subject["spent"], asked.subject["more"]) == (9.5, 9.5)
        await decide(resources, asked, "approve")
        assert (await waiting(resources, task.id)).subject["limit"] == 10.5
        provider.script.clear()


async def test_a_server_that_does_not_count_moves_the_budgets_all_the_same(settings: Settings, provider: OpenAIStandIn) -> None:
    provider.say(Answer(("x" * 400,), without_usage=True), Answer(("y" * 400,), without_usage=True))
    async with working_on_calls(settings, RepositoryConfig.model_validate({"budget": {"steps": 2}})) as resources:
        task = await submit(resources)
        asked = await waiting(resources, task.id)
        told = [event.data for event in await events_of(resources, task.id) if event.type == "usage"]
        cost = (await TaskService(resources).get(task.id, "local")).cost
    assert (asked.subject["kind"], asked.subject["spent"]) == ("steps", 2)
    assert [(one["output_tokens"], one["estimated"]) for one in told] == [(100, True)] * 2
    assert cost["calls"] == 2
    assert cost["cost_usd"] > 2.0, "a hundred tokens of output are a dollar"
