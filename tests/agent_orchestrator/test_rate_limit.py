"""Chat turns and new tasks share a person's minute; whoever is too quick is told when to come back."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from agent_orchestrator.resources import open_resources
from config.settings import Settings
from tests.agent_orchestrator.http_server import Running, run_server


@pytest.fixture
async def limited(settings: Settings) -> AsyncIterator[Running]:
    async with (
        open_resources(settings.model_copy(update={"requests_per_minute": 3}), worker=False) as resources,
        run_server(resources) as running,
    ):
        yield running


async def test_the_fourth_request_of_a_minute_is_refused(limited: Running, repository: Path) -> None:
    said, wanted = {"message": "What can you do?"}, {"prompt": "rename load_conf to load_config", "repo": str(repository)}
    async with limited.client() as http:
        assert (await http.post("/chat", json=said)).status_code == 200
        assert (await http.post("/tasks", json=wanted)).status_code == 202
        assert (await http.post("/orchestrate", json=wanted)).status_code == 202
        for path, body in (("/chat", said), ("/tasks", wanted), ("/orchestrate", wanted)):
            refused = await http.post(path, json=body)
            document = refused.json()
            assert (refused.status_code, document["code"]) == (429, "rate_limited")
            assert refused.headers["content-type"] == "application/problem+json"
            assert 1 <= int(refused.headers["retry-after"]) <= 60
            assert document["next_step"]
        assert (await http.get("/tasks")).status_code == 200
        assert "429" in (await http.get("/openapi.json")).json()["paths"]["/chat"]["post"]["responses"]


async def test_a_repeated_request_under_its_key_is_free(limited: Running) -> None:
    async with limited.client() as http:
        for _ in range(6):
            answer = await http.post("/chat", json={"message": "What can you do?"}, headers={"Idempotency-Key": "once"})
            assert answer.status_code == 200
