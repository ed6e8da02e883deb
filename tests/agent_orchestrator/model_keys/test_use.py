"""Tasks that run with a user's own key: what is usable, what happens when it goes, and that it is written nowhere."""

from __future__ import annotations

import base64
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import psycopg
import pytest

from agent_orchestrator.resources import Resources, open_resources
from config.settings import Settings, load_settings
from shared.models.port import Usage
from shared.types import Json, TaskStatus
from tests.agent_orchestrator.http_server import run_server
from tests.agent_orchestrator.runtime.driving import approve_all, decide, ended, waiting
from tests.shared.models.conftest import STAND_INS
from tests.stand_ins.openai import OpenAIStandIn
from tests.stand_ins.script import Answer, Call, serving

KEY = "sk-own-0123456789abcdef-WXYZ"
OPERATORS = "sk-operator-0123456789abcdef"
REQUEST = "Add handling of white space around the path to load_conf"
PLAN = {
    "summary": "Strip white space from the path in load_conf",
    "steps": [{"title": "Strip the path", "files": ["app.py"]}],
    "acceptance_criteria": ["a path with white space around it is read"],
}
SCRIPT = [
    Answer(calls=(Call("DraftPlan", PLAN),)),
    Answer(calls=(Call("edit_file", {"path": "app.py", "old": "path.upper()", "new": "path.strip().upper()"}),)),
    Answer(("The path is stripped.",)),
]


def settings_for(tmp_path: Path, postgres_url: str, **more: str) -> Settings:
    return load_settings({"PERSEVERE_DATA_DIR": str(tmp_path / "data"), "DATABASE_URL": postgres_url, **more})


@asynccontextmanager
async def serving_all(settings: Settings) -> AsyncIterator[tuple[Resources, httpx.AsyncClient]]:
    """A server with a worker, and a client of the local user."""
    async with open_resources(settings, worker=True) as resources, run_server(resources) as running, running.client() as client:
        yield resources, client


async def everything_stored(resources: Resources) -> str:
    """Every column of every table as text, bytes as hexadecimal."""
    async with resources.database.connection() as connection:
        names = (await connection.exec_driver_sql("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")).scalars().all()
        assert {"events", "tasks", "model_keys", "checkpoints", "checkpoint_blobs", "audit_log", "procrastinate_jobs"} <= set(names)
        rows = [str((await connection.exec_driver_sql(f'SELECT t::text FROM "{name}" t')).scalars().all()) for name in names]
    return "\n".join(rows)


def forms_of(key: str) -> list[str]:
    """As itself, in hexadecimal and in base64 at each of the three offsets."""
    shifted = [base64.b64encode(b"x" * offset + key.encode()).decode()[4:-4] for offset in range(3)]
    return [key, key.encode().hex(), *shifted]


async def test_a_whole_task_with_ones_own_key_and_it_is_found_nowhere(
    tmp_path: Path, postgres_url: str, repository: Path, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    async with serving(OpenAIStandIn(KEY)) as stand_in:
        stand_in.say(*SCRIPT)
        settings = settings_for(tmp_path, postgres_url, OPENAI_BASE_URL=stand_in.base_url)
        async with serving_all(settings) as (resources, client):
            wanted = {"prompt": REQUEST, "repo": str(repository), "workflow": "refactor", "model": "openai:big"}
            assert (await client.post("/tasks", json=wanted)).json()["code"] == "unknown_model"
            stored = await client.put("/model-keys/openai", json={"key": KEY})
            accepted = await client.post("/tasks", json=wanted)
            task, _ = await approve_all(resources, accepted.json()["task_id"])
            told = [(await client.get(f"/tasks/{task.id}{part}")).text for part in ("", "/events?limit=200", "/artifacts", "/audit")]
            metrics = (await client.get("/metrics")).text
            written = await everything_stored(resources)
    assert (stored.status_code, accepted.status_code) == (200, 202), accepted.text
    assert (task.status, task.outcome, task.error) == (TaskStatus.COMPLETED, "pull_request", None)
    files = [path.read_bytes() for path in (tmp_path / "data").rglob("*") if path.is_file()]
    files += [path.read_bytes() for path in repository.rglob("*") if path.is_file()]
    shown = capfd.readouterr()
    texts = [written, *told, metrics, caplog.text, shown.out, shown.err, str(stand_in.bodies), *(f.decode("latin-1") for f in files)]
    assert "path.strip().upper()" in written, "the search looks where the task wrote"
    assert [form for form in forms_of(KEY) for text in texts if form in text] == []


async def test_a_rejected_key_is_said_to_be_yours_and_told_nowhere(
    tmp_path: Path, postgres_url: str, repository: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The provider's answer repeats the key."""
    caplog.set_level(logging.DEBUG)
    async with serving(OpenAIStandIn("another-key-than-that")) as stand_in:
        settings = settings_for(tmp_path, postgres_url, OPENAI_BASE_URL=stand_in.base_url, OPENAI_API_KEY=OPERATORS)
        async with serving_all(settings) as (resources, client):
            await client.put("/model-keys/openai", json={"key": KEY})
            accepted = await client.post(
                "/tasks", json={"prompt": REQUEST, "repo": str(repository), "workflow": "refactor", "model": "openai:big"}
            )
            failed = await ended(resources, accepted.json()["task_id"])
            texts = [await everything_stored(resources), caplog.text, (await client.get(f"/tasks/{failed.id}/events")).text]
    assert failed.error is not None
    assert (failed.error.code, "your own key" in failed.error.message) == ("model_key_rejected", True)
    assert "persevere keys set openai" in failed.error.next_step
    assert [form for key in (KEY, OPERATORS) for form in forms_of(key) for text in texts if form in text] == []


async def test_a_key_that_is_removed_while_the_task_runs_ends_it_clearly_and_a_new_one_goes_on(
    tmp_path: Path, postgres_url: str, repository: Path
) -> None:
    other = "sk-own-9876543210fedcba-ABCD"

    def looking_while_the_key_goes(_: Json) -> Answer:
        with psycopg.connect(postgres_url, autocommit=True) as connection:
            connection.execute("DELETE FROM model_keys")
        return Answer(calls=(Call("read_file", {"path": "app.py"}),))

    async with serving(OpenAIStandIn(KEY)) as stand_in:
        stand_in.say(SCRIPT[0], looking_while_the_key_goes)
        settings = settings_for(tmp_path, postgres_url, OPENAI_BASE_URL=stand_in.base_url, OPENAI_API_KEY=OPERATORS)
        async with serving_all(settings) as (resources, client):
            await client.put("/model-keys/openai", json={"key": KEY})
            accepted = await client.post(
                "/tasks", json={"prompt": REQUEST, "repo": str(repository), "workflow": "refactor", "model": "openai:big"}
            )
            task_id = accepted.json()["task_id"]
            await decide(resources, await waiting(resources, task_id), "approve")
            failed = await ended(resources, task_id)
            assert failed.error is not None
            assert (failed.error.code, stand_in.calls) == ("model_key_removed", 2)
            assert "persevere keys set openai" in failed.error.next_step
            stand_in.key = other
            stand_in.say(*SCRIPT[1:])
            await client.put("/model-keys/openai", json={"key": other})
            assert (await client.post(f"/tasks/{task_id}/retry")).status_code == 200
            done, _ = await approve_all(resources, task_id)
    assert (done.status, done.outcome) == (TaskStatus.COMPLETED, "pull_request")


@pytest.mark.parametrize("provider", STAND_INS)
async def test_every_provider_is_called_with_ones_own_key(provider: str, tmp_path: Path, postgres_url: str) -> None:
    kind, key, url = STAND_INS[provider]
    async with serving(kind(KEY)) as stand_in:
        stand_in.say(Answer(("one",)))
        settings = settings_for(tmp_path, postgres_url, **{key: OPERATORS, url: stand_in.base_url})
        async with open_resources(settings, worker=False) as resources, run_server(resources) as running, running.client() as client:
            await client.put(f"/model-keys/{provider}", json={"key": KEY})
            model = resources.model_for(f"{provider}:big", await resources.keys_of("local"))
            assert model is not None
            assert (await model.bind(Unlimited()).ainvoke("go")).text == "one"


async def test_a_key_that_is_replaced_is_used_from_the_next_call_on(tmp_path: Path, postgres_url: str) -> None:
    other = "sk-own-9876543210fedcba-ABCD"
    async with serving(OpenAIStandIn(KEY)) as stand_in:
        stand_in.say(Answer(("one",)), Answer(("two",)))
        settings = settings_for(tmp_path, postgres_url, OPENAI_BASE_URL=stand_in.base_url, PERSEVERE_MODEL="openai-compatible:big")
        async with serving_all(settings) as (resources, client):
            await client.put("/model-keys/openai-compatible", json={"key": KEY})
            model = resources.model_for(None, await resources.keys_of("local"))
            assert model is not None
            bound = model.bind(Unlimited())
            assert (await bound.ainvoke("go")).text == "one"
            stand_in.key = other
            await client.put("/model-keys/openai-compatible", json={"key": other})
            assert (await bound.ainvoke("go")).text == "two"


async def test_models_tells_each_caller_what_is_usable(tmp_path: Path, postgres_url: str) -> None:
    async with serving_all(settings_for(tmp_path, postgres_url, ANTHROPIC_API_KEY=OPERATORS)) as (_, client):
        before = (await client.get("/models")).json()
        await client.put("/model-keys/openai", json={"key": KEY})
        after = await client.get("/models")
        await client.delete("/model-keys/openai")
        again = (await client.get("/models")).json()
    usable = {one["provider"]: one["own_key"] for one in after.json()["items"]}
    assert {one["provider"] for one in before["items"]} == {"anthropic"}
    assert usable == {"anthropic": False, "openai": True}
    assert again == before
    assert "unless they name one of these" in after.json()["reason"]
    assert KEY not in after.text
    lacking = next(one for one in before["unusable"] if one["provider"] == "openai")
    assert "persevere keys set openai" in lacking["next_step"]


async def test_a_key_that_another_machine_encrypted_says_so(tmp_path: Path, postgres_url: str, repository: Path) -> None:
    async with serving_all(settings_for(tmp_path, postgres_url, PERSEVERE_SECRET_KEY="a" * 40)) as (_, client):
        await client.put("/model-keys/openai", json={"key": KEY})
    async with serving_all(settings_for(tmp_path, postgres_url, PERSEVERE_SECRET_KEY="b" * 40)) as (_, client):
        refused = await client.post(
            "/tasks", json={"prompt": REQUEST, "repo": str(repository), "workflow": "refactor", "model": "openai:big"}
        )
        listed = (await client.get("/model-keys")).json()["items"]
    assert (refused.status_code, len(listed)) == (422, 1)
    assert "PERSEVERE_SECRET_KEY" in refused.json()["detail"] + refused.json()["next_step"]


class Unlimited:
    """Implements `shared.models.port.Spend`."""

    async def before(self) -> None:
        return None

    async def after(self, model: str, usage: Usage) -> None:
        return None
