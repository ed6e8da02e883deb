"""What can be used now and why the rest cannot; a task that names a model."""

from __future__ import annotations

from pathlib import Path

from pydantic import SecretStr

from agent_orchestrator.resources import Resources, open_resources
from config.settings import Settings
from tests.agent_orchestrator.http_server import run_server

KEY = "sk-models-0123456789abcdef"


async def test_without_a_key_nothing_is_usable_and_each_says_why(resources: Resources) -> None:
    async with run_server(resources) as running, running.client() as client:
        answer = (await client.get("/models")).json()
    assert answer["items"] == []
    assert answer["reason"] == "No model is configured: tasks are done by recipes."
    lacking = {one["provider"]: (one["reason"], one["next_step"]) for one in answer["unusable"]}
    assert set(lacking) == {"openai", "anthropic", "google_genai"}
    assert all("API_KEY" in reason and step for reason, step in lacking.values())


async def test_a_key_makes_its_providers_models_usable(settings: Settings) -> None:
    chosen = settings.model_copy(update={"openai_api_key": SecretStr(KEY), "model": "openai:gpt-5"})
    async with open_resources(chosen, worker=False) as resources, run_server(resources) as running, running.client() as client:
        response = await client.get("/models")
    answer = response.json()
    assert {one["provider"] for one in answer["items"]} == {"openai"}
    assert {one["provider"] for one in answer["unusable"]} == {"anthropic", "google_genai"}
    first = answer["items"][0]
    assert (first["name"], first["chosen"], first["input_usd"], first["output_usd"]) == ("openai:gpt-5", True, 1.25, 10)
    assert answer["reason"] is None
    assert KEY not in response.text


async def test_a_task_names_its_model_or_is_refused_with_what_is_missing(settings: Settings, repository: Path) -> None:
    chosen = settings.model_copy(update={"openai_api_key": SecretStr(KEY)})
    wanted = {"prompt": "rename load_conf to load_config", "repo": str(repository)}
    async with open_resources(chosen, worker=False) as resources, run_server(resources) as running, running.client() as client:
        taken = await client.post("/tasks", json={**wanted, "model": "openai:gpt-5-mini"})
        assert taken.status_code == 202, taken.text
        for model, missing in (
            ("anthropic:claude-sonnet-4-5", "ANTHROPIC_API_KEY"),
            ("gpt-5", "provider:name"),
            ("groq:x", "langchain-groq"),
        ):
            refused = await client.post("/tasks", json={**wanted, "model": model})
            assert (refused.status_code, refused.json()["code"]) == (422, "unknown_model")
            assert missing in refused.json()["detail"] + refused.json()["next_step"]
