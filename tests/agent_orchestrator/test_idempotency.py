"""One key makes one thing and gives one answer, however many ask at once and wherever."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import httpx_sse
import pytest

from agent_orchestrator.resources import Resources
from shared.store import sessions, tasks
from tests.agent_orchestrator.http_server import TOKEN, Running, run_server

RENAME = "rename load_conf to load_config"
CROWD = 50


@pytest.fixture
async def two_servers(resources: Resources) -> AsyncIterator[tuple[Running, Running]]:
    async with run_server(resources) as one, run_server(resources) as other:
        yield one, other


def keyed(server: Running, key: str) -> httpx.AsyncClient:
    return server.client(headers={"Authorization": f"Bearer {TOKEN}", "Idempotency-Key": key}, limits=httpx.Limits(max_connections=None))


async def counts(resources: Resources) -> tuple[int, int]:
    """Tasks and sessions."""
    async with resources.database.connection() as tx:
        return len((await tasks.list_(tx))[0]), len((await sessions.list_(tx, "local"))[0])


async def test_a_crowd_makes_one_task(resources: Resources, two_servers: tuple[Running, Running], repository: Path) -> None:
    body = {"prompt": RENAME, "repo": str(repository)}
    async with keyed(two_servers[0], "crowd") as here, keyed(two_servers[1], "crowd") as there:
        answers = await asyncio.gather(*((here, there)[number % 2].post("/tasks", json=body) for number in range(CROWD)))
        again = await here.post("/tasks", json=body)
    assert {answer.status_code for answer in answers} <= {202, 409}
    assert {answer.json()["code"] for answer in answers if answer.status_code == 409} <= {"idempotency_in_flight"}
    assert {answer.json()["task_id"] for answer in answers if answer.status_code == 202} == {again.json()["task_id"]}
    assert again.headers["idempotency-replayed"] == "true"
    assert await counts(resources) == (1, 0)


async def test_a_crowd_has_one_conversation(resources: Resources, two_servers: tuple[Running, Running], repository: Path) -> None:
    body = {"message": RENAME, "context": {"repo": str(repository)}}
    async with keyed(two_servers[0], "talk") as here, keyed(two_servers[1], "talk") as there:
        answers = await asyncio.gather(*((here, there)[number % 2].post("/chat", json=body) for number in range(CROWD)))
        again = await here.post("/chat", json=body)
        other = await here.post("/chat", json={"message": "hello"})
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert all(answer.json() == again.json() for answer in answers if answer.status_code == 200)
    assert again.json()["intent"] == "task_created"
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert await counts(resources) == (1, 1)


async def test_a_streamed_turn_is_streamed_again(resources: Resources, two_servers: tuple[Running, Running], repository: Path) -> None:
    body = {"message": RENAME, "context": {"repo": str(repository)}}

    async def stream(server: Running) -> list[tuple[str, Any]]:
        async with keyed(server, "stream") as client, httpx_sse.aconnect_sse(client, "POST", "/chat/stream", json=body) as source:
            return [(event.event, event.json()) async for event in source.aiter_sse()]

    first = await stream(two_servers[0])
    assert first[-1][0] == "done"
    assert await stream(two_servers[1]) == first
    crowd = await asyncio.gather(*(stream(two_servers[0]) for _ in range(10)))
    assert all(seen == first for seen in crowd)
    async with keyed(two_servers[0], "stream") as client:
        other = await client.post("/chat/stream", json={"message": "hello"})
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert await counts(resources) == (1, 1)


async def test_one_in_flight_is_refused_before_its_stream_begins(
    resources: Resources, two_servers: tuple[Running, Running], repository: Path
) -> None:
    from agent_orchestrator.idempotency import HEADER
    from shared.store import idempotency

    async with resources.database.transaction() as tx, keyed(two_servers[0], "busy") as client:
        await idempotency.begin(tx, "local", client.headers[HEADER], "whatever")
        answers = [
            await client.post("/chat/stream", json={"message": "hello"}),
            await client.post("/chat", json={"message": "hello"}),
            await client.post("/chat/sessions", json={}),
            await client.post("/projects", json={"name": "p", "repo": str(repository)}),
        ]
    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(409, "idempotency_in_flight")] * 4


async def test_a_sign_in_link_is_the_same_for_the_same_key(two_servers: tuple[Running, Running]) -> None:
    async with keyed(two_servers[0], "a") as client:
        links = [(await client.post("/auth/sign-in")).json()["path"] for _ in range(2)]
        other = (await client.post("/auth/sign-in", headers={"Idempotency-Key": "b"})).json()["path"]
    assert links[0] == links[1] != other


async def test_a_cancel_in_the_conversation_is_answered_once(
    resources: Resources, two_servers: tuple[Running, Running], repository: Path
) -> None:
    """It ends the turn's transaction half-way, to wait for the worker; the answer is kept with the second half."""
    async with two_servers[0].client() as client:
        begun = (await client.post("/chat", json={"message": RENAME, "context": {"repo": str(repository)}})).json()
        body = {"message": f"cancel {begun['task_id']}", "session_id": begun["session_id"]}
        async with keyed(two_servers[0], "stop") as here, keyed(two_servers[1], "stop") as there:
            answers = await asyncio.gather(*((here, there)[number % 2].post("/chat", json=body) for number in range(6)))
            again = await there.post("/chat", json=body)
        said = (await client.get(f"/chat/sessions/{begun['session_id']}/messages")).json()["items"]
    assert {answer.status_code for answer in answers} <= {200, 409}
    assert all(answer.json() == again.json() for answer in answers if answer.status_code == 200)
    assert again.json()["intent"] == "task_updated"
    assert [item["role"] for item in said] == ["user", "assistant"] * 2
