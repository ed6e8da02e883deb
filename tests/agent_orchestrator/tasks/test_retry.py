"""Trying again with more: a new budget, another model, over HTTP."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr

from agent_orchestrator.resources import Resources, open_resources
from config.settings import Settings
from shared.store import audit, tasks
from shared.types import TaskStatus
from tests.agent_orchestrator.http_server import insert_task, run_server


async def failed_task(resources: Resources, repository: Path) -> str:
    """It has used 3 dollars and 60 seconds."""
    cost = {"tokens": 10, "cost_usd": 3.0, "calls": 1, "work_s": 60.0}
    task = await insert_task(resources, repository, status=TaskStatus.FAILED, cost=cost, request={"cost_budget_usd": 3})
    return task.id


async def test_a_retry_takes_a_budget_and_a_model_and_the_audit_log_knows(settings: Settings, repository: Path) -> None:
    chosen = settings.model_copy(update={"openai_api_key": SecretStr("sk-retry-0123456789abcdef")})
    body = {"hint": "smaller", "cost_budget_usd": 5, "time_budget_s": 100.5, "model": "openai:gpt-5-mini"}
    async with open_resources(chosen, worker=False) as resources, run_server(resources) as running, running.client() as client:
        task_id = await failed_task(resources, repository)
        again = {"Idempotency-Key": "one"}
        answer = await client.post(f"/tasks/{task_id}/retry", json=body, headers=again)
        repeated = await client.post(f"/tasks/{task_id}/retry", json=body, headers=again)
        async with resources.database.connection() as connection:
            task = await tasks.get(connection, task_id)
            last = await audit.last(connection)
    assert (answer.status_code, answer.json()["status"], repeated.json()) == (200, "queued", answer.json())
    assert task is not None
    assert {name: task.request[name] for name in body} == body
    assert task.request["budget_set_after"] == {"cost_usd": 0, "time_s": 0}
    assert last is not None
    assert (last.action, last.data) == ("task.retry", body)


@pytest.mark.parametrize(
    ("body", "code"),
    [
        ({"cost_budget_usd": 3}, "budget_too_small"),
        ({"time_budget_s": 59}, "budget_too_small"),
        ({"cost_budget_usd": -1}, "validation_failed"),
        ({"cost_budget_usd": "NaN"}, "validation_failed"),
        ({"time_budget_s": 1e12}, "validation_failed"),
        ({"model": "gpt-5"}, "unknown_model"),
        ({"model": "openai:gpt-5"}, "unknown_model"),
        ({"budget": 5}, "validation_failed"),
    ],
)
async def test_a_retry_that_would_change_nothing_or_cannot_work_is_refused(
    body: dict[str, Any], code: str, resources: Resources, repository: Path
) -> None:
    async with run_server(resources) as running, running.client() as client:
        task_id = await failed_task(resources, repository)
        refused = await client.post(f"/tasks/{task_id}/retry", json=body)
        left = (await client.get(f"/tasks/{task_id}")).json()
    assert (refused.status_code, refused.json()["code"], left["status"]) == (422, code, "failed")


async def test_a_retry_without_a_body_is_as_it_was(resources: Resources, repository: Path) -> None:
    async with run_server(resources) as running, running.client() as client:
        task_id = await failed_task(resources, repository)
        answer = await client.post(f"/tasks/{task_id}/retry")
    assert (answer.status_code, answer.json()["status"]) == (200, "queued")
