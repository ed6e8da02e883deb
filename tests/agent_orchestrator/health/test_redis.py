"""`/readyz` and `persevere doctor` say whether Redis answers; the service is ready without it."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_orchestrator.cli.checks import all_checks
from agent_orchestrator.resources import open_resources
from config.settings import Settings
from tests.agent_orchestrator.http_server import run_server
from tests.redis_server import own_redis


async def test_readiness_names_redis_and_does_not_need_it(settings: Settings, tmp_path: Path) -> None:
    with own_redis(tmp_path) as server:
        wanted = settings.model_copy(update={"redis_url": server.url})
        async with open_resources(wanted, worker=False) as resources, run_server(resources) as running, running.client(headers={}) as http:
            for redis_is_there in (True, False, True):
                answer = await http.get("/readyz")
                assert answer.status_code == 200
                (told,) = [item for item in answer.json()["dependencies"] if item["name"] == "redis"]
                assert (told["ok"], told["required"]) == (redis_is_there, False)
                if redis_is_there:
                    server.kill()
                else:
                    assert "PostgreSQL" in told["detail"]
                    assert told["next_step"]
                    server.start()


async def test_the_doctor_tells_without_the_password(settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with own_redis(tmp_path) as server:
        monkeypatch.setenv("PERSEVERE_DATA_DIR", str(settings.data_dir))
        monkeypatch.setenv("DATABASE_URL", str(settings.database_url))
        monkeypatch.setenv("REDIS_URL", server.url.replace("127.0.0.1", ":geheim@127.0.0.1"))
        checks = {check.name: check async for check in all_checks()}
        assert (checks["redis"].ok, checks["redis"].needed) == (False, False)
        assert "geheim" not in checks["redis"].line()
        monkeypatch.setenv("REDIS_URL", server.url)
        checks = {check.name: check async for check in all_checks()}
        assert checks["redis"].ok
