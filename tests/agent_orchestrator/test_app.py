"""Every kind of refusal has its own problem document, and changes nothing."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from agent_orchestrator.app import build_app
from agent_orchestrator.resources import Resources
from config.settings import Settings
from shared.errors import SettingsError
from shared.store import sessions, tasks
from tests.agent_orchestrator.http_server import TOKEN, Running, run_server


@pytest.fixture
async def running(resources: Resources) -> AsyncIterator[Running]:
    async with run_server(resources) as server:
        yield server


def check_problem(response: httpx.Response, status: int, code: str) -> dict[str, object]:
    assert (response.status_code, response.headers["content-type"]) == (status, "application/problem+json"), response.text
    document: dict[str, object] = response.json()
    assert {"type", "title", "status", "detail", "code", "next_step"} <= set(document)
    assert (document["status"], document["code"]) == (status, code)
    assert document["detail"]
    return document


async def nothing_was_made(resources: Resources) -> bool:
    async with resources.database.connection() as tx:
        made = await tasks.list_(tx), await sessions.list_(tx, None)
    return made == (([], None), ([], None))


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b'{"message": ""}', 422, "empty_message"),
        (b'{"message": " \\n\\t"}', 422, "empty_message"),
        (b'{"message": 5}', 422, "validation_failed"),
        (b'{"message": "x", "mesage": "y"}', 422, "validation_failed"),
        (b'{"message": "x", "context": {"selection": {"start_line": "a", "end_line": 2}}}', 422, "validation_failed"),
        (b"[1]", 422, "validation_failed"),
        (b"null", 422, "validation_failed"),
        (b"", 422, "validation_failed"),
        (b'{"message": "x"', 400, "malformed_json"),
        (b'{"message": "\xff"}', 400, "bad_request"),
        (b"[" * 100_000, 400, "bad_request"),
        (b'{"message": "\\ud800"}', 422, "empty_message"),
        (json.dumps({"message": "x" * 1_000_000}).encode(), 413, "message_too_large"),
        (json.dumps({"message": "x" * 2_000_000}).encode(), 413, "body_too_large"),
        (b'{"message": "x", "context": {"repo": "/no/such/repository"}, "session_id": ""}', 422, "validation_failed"),
    ],
    ids=range(15),
)
async def test_a_bad_chat_message_is_refused(resources: Resources, running: Running, body: bytes, status: int, code: str) -> None:
    async with running.client() as client:
        response = await client.post("/chat", content=body, headers={"Content-Type": "application/json"})
    check_problem(response, status, code)
    assert await nothing_was_made(resources)


async def test_wrong_fields_are_listed(running: Running) -> None:
    async with running.client() as client:
        response = await client.post("/tasks", json={"prompt": 5, "time_budget_s": -1})
    document = check_problem(response, 422, "validation_failed")
    assert [field["field"] for field in document["errors"]] == ["prompt", "repo", "time_budget_s"]  # type: ignore[attr-defined]


async def test_a_chunked_body_is_counted_while_it_is_read(running: Running) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(40):
            yield b" " * 64_000

    async with running.client() as client:
        response = await client.post("/chat", content=chunks(), headers={"Content-Type": "application/json"})
    check_problem(response, 413, "body_too_large")


async def test_another_media_type_is_refused(running: Running) -> None:
    async with running.client() as client:
        for content_type in ("text/plain", "application/x-www-form-urlencoded", ""):
            response = await client.post("/chat", content=b'{"message": "x"}', headers={"Content-Type": content_type})
            check_problem(response, 415, "unsupported_media_type")


async def test_unknown_addresses_and_methods(running: Running) -> None:
    async with running.client() as client:
        check_problem(await client.get("/nothing/here"), 404, "route_not_found")
        check_problem(await client.get("/chat/"), 404, "route_not_found")
        refused = await client.put("/chat")
        check_problem(refused, 405, "method_not_allowed")
        assert refused.headers["allow"] == "POST"
        check_problem(await client.get("/tasks/task_none"), 404, "task_not_found")
        check_problem(await client.get("/tasks", params={"cursor": "###"}), 422, "invalid_request")
        check_problem(await client.get("/tasks", params={"limit": 0}), 422, "validation_failed")
        check_problem(await client.post("/tasks", json={"prompt": "x", "repo": "/no/such"}), 422, "repository_not_found")


@pytest.mark.parametrize("authorization", [None, "Bearer wrong", f"Basic {TOKEN}", TOKEN, f"Bearer {TOKEN}x", "Bearer \xff"])
async def test_without_the_token_nothing_is_answered(running: Running, authorization: str | None) -> None:
    headers = [] if authorization is None else [(b"Authorization", authorization.encode("latin-1"))]
    async with running.client(headers=headers) as client:
        for path in ("/tasks", "/chat", "/nothing/here", "/tasks/x/events", f"/tasks?token={TOKEN}"):
            response = await client.get(path)
            check_problem(response, 401, "unauthorized")
            assert response.headers["www-authenticate"].startswith("Bearer")


async def test_open_addresses_need_no_token(running: Running) -> None:
    async with running.client(headers={}) as client:
        for path in ("/", "/healthz", "/ping", "/metrics", "/openapi.json"):
            assert (await client.get(path)).status_code == 200, path


async def test_another_host_name_is_not_answered(running: Running) -> None:
    async with running.client() as client:
        for host in ("evil.example", "127.0.0.1.evil.example:8001", "", "[::1", "192.168.0.1"):
            check_problem(await client.get("/healthz", headers={"Host": host}), 403, "host_not_allowed")
        for host in ("localhost", "LOCALHOST:1234", "[::1]:8001", "127.0.0.1"):
            assert (await client.get("/healthz", headers={"Host": host})).status_code == 200


async def test_an_unhandled_exception_says_nothing_of_the_inside(running: Running, resources: Resources) -> None:
    class Broken:
        async def inspect(self, *_: object) -> None:
            raise RuntimeError("secret detail")

    resources.forge = Broken()  # type: ignore[assignment]
    async with running.client() as client:
        response = await client.post("/tasks", json={"prompt": "x", "repo": "/x"})
    check_problem(response, 500, "internal_error")
    assert "secret" not in response.text


async def test_a_database_that_is_down_is_503(settings: Settings, resources: Resources, running: Running) -> None:
    from sqlalchemy.ext.asyncio import create_async_engine

    from shared.store.database import Database

    gone = "postgresql://nobody:hidden-password@127.0.0.1:9/none"
    resources.database = Database(gone, create_async_engine(gone.replace("postgresql", "postgresql+psycopg", 1)))
    async with running.client() as client:
        response = await client.get("/tasks")
        assert "hidden-password" not in response.text
        check_problem(response, 503, "unavailable")
        ready = await client.get("/readyz")
        check_problem(ready, 503, "not_ready")
        assert "database" in ready.json()["detail"]
        assert (await client.get("/healthz")).status_code == 200
        assert (await client.get("/metrics")).status_code == 200


def test_listening_beyond_loopback_needs_a_long_token(tmp_path: Path) -> None:
    open_to_all = Settings(data_dir=tmp_path, host="0.0.0.0").model_copy(update={"token": "short"})
    with pytest.raises(SettingsError, match="needs a token"):
        build_app(open_to_all)


def test_openapi_is_complete(tmp_path: Path) -> None:
    document = build_app(Settings(data_dir=tmp_path)).openapi()
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            answers = operation["responses"]
            good = [status for status in answers if status[0] in "23"]
            assert good, (path, method)
            for status in good:
                assert status in ("204", "303") or answers[status]["content"], (path, method)
            bad = {status for status in answers if status[0] in "45"}
            assert {"401", "500", "503"} <= bad, (path, method)
            for status in bad:
                assert list(answers[status]["content"]) == ["application/problem+json"], (path, method, status)
            assert operation["summary"] or operation["description"], (path, method)
