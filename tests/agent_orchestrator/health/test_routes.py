"""Readiness and the metrics of a task that really ran."""

from __future__ import annotations

from pathlib import Path

from agent_orchestrator.resources import Resources
from tests.agent_orchestrator.http_server import run_server
from tests.agent_orchestrator.runtime.driving import approve_all, submit


async def test_a_task_is_counted_where_it_happens(working: Resources, repository: Path) -> None:
    async with run_server(working) as running:
        task = await submit(working, repository)
        done, asked = await approve_all(working, task.id)
        async with running.client(headers={}) as client:
            ready = await client.get("/readyz")
            text = (await client.get("/metrics")).text
    assert (done.outcome, len(asked)) == ("pull_request", 2)
    assert (ready.status_code, ready.json()["status"]) == (200, "ready")
    assert 'tasks_total{status="completed",workflow="refactor"}' in text
    assert 'task_stage_seconds_count{stage="testing"}' in text
    assert 'approval_wait_seconds_count{decision="approve",gate="diff"}' in text
    assert 'sandboxes_active{provider="' in text
    assert task.id not in text
