"""The conversation over HTTP, server-sent events and a WebSocket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import httpx_sse
import pytest
import websockets

from agent_orchestrator.resources import Resources
from tests.agent_orchestrator.http_server import TOKEN, Running, run_server


@pytest.fixture
async def running(resources: Resources) -> AsyncIterator[Running]:
    async with run_server(resources) as server:
        yield server


async def test_a_message_becomes_a_task_and_is_remembered(running: Running, repository: Path) -> None:
    async with running.client() as client:
        answer = await client.post("/chat", json={"message": "rename load_conf to load_config", "context": {"repo": str(repository)}})
        assert answer.status_code == 200, answer.text
        said = answer.json()
        session = f"/chat/sessions/{said['session_id']}"
        history = (await client.get(f"{session}/messages")).json()["items"]
        asked = await client.post(f"{session}/messages", json={"message": f"What's the status of {said['task_id']}?"})
        sessions = (await client.get("/chat/sessions")).json()["items"]
        counted = (await client.get("/metrics")).text
        deleted = await client.delete(session)
        gone = await client.get(session)
    assert (said["intent"], said["task_id"][:5]) == ("task_created", "task_")
    assert [item["role"] for item in history] == ["user", "assistant"]
    assert asked.json()["intent"] == "status_query"
    assert [item["session_id"] for item in sessions] == [said["session_id"]]
    assert 'chat_requests_total{intent="task_created",outcome="ok"}' in counted
    assert (deleted.status_code, gone.status_code) == (204, 404)


async def test_an_unknown_repository_is_told_and_makes_nothing(running: Running) -> None:
    async with running.client() as client:
        answer = await client.post("/chat", json={"message": "rename a to b", "context": {"repo": "/no/such/repository"}})
        listed = (await client.get("/tasks")).json()["items"]
    assert answer.status_code == 422
    assert answer.json()["code"] == "repository_not_found"
    assert listed == []


async def test_the_same_answer_as_a_stream_and_the_task_after_it(running: Running, repository: Path) -> None:
    body = {"message": "rename load_conf to load_config", "context": {"repo": str(repository)}}
    names: list[str] = []
    text, message = "", {}
    async with (
        running.client() as client,
        httpx_sse.aconnect_sse(client, "POST", "/chat/stream?follow=true", json=body) as source,
    ):
        async for event in source.aiter_sse():
            names.append(event.event)
            if event.event == "token":
                text += event.json()["text"]
            if event.event == "message":
                message = event.json()
            if event.id:
                assert event.json()["task_id"] == message["task_id"]
                break
    assert (names[0], names[-3:]) == ("status", ["message", "done", "status_update"])
    assert text == message["message"]


async def test_a_bad_request_for_a_stream_is_a_problem_document(running: Running) -> None:
    async with running.client() as client:
        empty = await client.post("/chat/stream", json={"message": " "})
    assert (empty.status_code, empty.headers["content-type"], empty.json()["code"]) == (422, "application/problem+json", "empty_message")


async def test_a_socket_talks_and_tells_what_is_wrong(running: Running) -> None:
    import json

    url = running.url.replace("http", "ws", 1)
    headers = {"Authorization": f"Bearer {TOKEN}"}
    async with websockets.connect(f"{url}/chat/ws", additional_headers=headers, proxy=None) as socket:
        await socket.send("{}")
        assert json.loads(await socket.recv())["code"] == "validation_failed"
        await socket.send('{"message": "hello"}')
        kinds: list[str] = []
        while not kinds or kinds[-1] != "done":
            kinds.append(json.loads(await socket.recv())["type"])
    assert kinds[0] == "status"
    assert kinds[-2:] == ["message", "done"]
    for path in ("/chat/ws", "/ws/tasks/task_x/status"):
        with pytest.raises(websockets.InvalidStatus) as refused:
            await websockets.connect(url + path, proxy=None)
        assert refused.value.response.status_code == 401
