"""Deciding over HTTP: once, whoever comes second is told what was decided."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent_orchestrator.resources import Resources
from shared.secrets.scan import HIDDEN
from shared.store.records import Approval
from shared.types import Gate
from tests.agent_orchestrator.http_server import Running, insert_approval, insert_task, run_server


@pytest.fixture
async def running(resources: Resources) -> AsyncIterator[Running]:
    async with run_server(resources) as server:
        yield server


@pytest.fixture
async def approval(resources: Resources, repository: Path) -> Approval:
    return await insert_approval(resources, (await insert_task(resources, repository)).id)


async def test_two_clients_decide_at_once(running: Running, approval: Approval) -> None:
    async with running.client() as one, running.client() as two:
        path = f"/approvals/{approval.id}/decision"
        answers = await asyncio.gather(
            one.post(path, json={"decision": "approve", "revision": 1}), two.post(path, json={"decision": "reject", "revision": 1})
        )
    winner, loser = sorted(answers, key=lambda answer: answer.status_code)
    assert (winner.status_code, loser.status_code) == (200, 409)
    assert loser.headers["content-type"] == "application/problem+json"
    assert loser.json()["current"] == winner.json()
    assert winner.json()["status"] in ("approved", "rejected")


async def test_another_revision_is_a_conflict_and_decides_nothing(running: Running, approval: Approval) -> None:
    async with running.client() as client:
        refused = await client.post(f"/approvals/{approval.id}/decision", json={"decision": "approve", "revision": 2})
        wrong = await client.post(f"/approvals/{approval.id}/decision", json={"decision": "yes", "revision": 1})
        unknown = await client.post("/approvals/approval_none/decision", json={"decision": "approve", "revision": 1})
        listed = (await client.get("/approvals", params={"status": "pending"})).json()["items"]
        metrics = (await client.get("/metrics")).text
    assert (refused.status_code, refused.json()["current"]["revision"]) == (409, 1)
    assert (wrong.status_code, unknown.status_code) == (422, 404)
    assert [item["approval_id"] for item in listed] == [approval.id]
    assert 'approvals_pending{gate="plan",risk="low"} 1.0' in metrics


async def test_the_same_key_replays_the_decision(running: Running, approval: Approval) -> None:
    headers = {"Idempotency-Key": "decide-once"}
    async with running.client() as client:
        client.headers.update(headers)
        path = f"/approvals/{approval.id}/decision"
        first = await client.post(path, json={"decision": "approve", "revision": 1})
        again = await client.post(path, json={"decision": "approve", "revision": 1})
        read = await client.get(f"/approvals/{approval.id}")
    assert (first.status_code, again.status_code) == (200, 200)
    assert first.json() == again.json() == read.json()


async def test_an_edited_patch_with_a_hidden_value_is_refused_and_decides_nothing(
    running: Running, resources: Resources, repository: Path
) -> None:
    approval = await insert_approval(resources, (await insert_task(resources, repository)).id, Gate.DIFF)
    decision = {"decision": "edit", "revision": 1, "edited": {"patch": f'+a = "{HIDDEN}"\n'}}
    async with running.client() as client:
        refused = await client.post(f"/approvals/{approval.id}/decision", json=decision)
        read = await client.get(f"/approvals/{approval.id}")
    assert (refused.status_code, refused.json()["code"]) == (422, "hidden_value_in_patch")
    assert read.json()["status"] == "pending"
