"""A killed worker leaves a sandbox elsewhere behind: its work goes on in another, its change is saved, and it is removed."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.docker_engine import RunningEngine
from tests.e2e.conftest import MakeRepository
from tests.e2e.test_going_on import COMMANDS, TURNS, Scene, open_scene
from tests.stand_ins.e2b import open_e2b
from tests.stand_ins.e2b_machine import missing
from tests.stand_ins.script import Answer, Json

pytestmark = [pytest.mark.slow, pytest.mark.timeout(280)]
SWEPT_S = 120.0


async def _kill_in_the_midst(scene: Scene, left: Callable[[], int]) -> None:
    """Killed while a command runs, after an edit; `left` counts the sandboxes there are."""

    def kill_soon(body: Json) -> Answer:
        asyncio.get_running_loop().call_later(0.9, scene.end_worker, signal.SIGKILL)
        return TURNS[COMMANDS]

    scene.stand_in.say(*TURNS[:COMMANDS], kill_soon, *TURNS[COMMANDS + 1 :])
    task_id = await scene.submit()
    await scene.check(await scene.finish(task_id))
    async with asyncio.timeout(SWEPT_S):
        while await asyncio.to_thread(left):
            await asyncio.sleep(0.5)
    async with scene.resources.database.connection() as connection:
        kept = await scene.resources.artifacts.list_(connection, task_id)
        rescued = [artifact.name for artifact in kept if artifact.name.startswith("rescued-")]
        assert len(rescued) == 1, kept
        patch = await scene.resources.artifacts.load(connection, task_id, rescued[0])
    assert b"+    return path.strip()" in patch


async def test_at_docker(
    docker_engine: RunningEngine, tmp_path: Path, postgres_url: str, make_repository: MakeRepository, monkeypatch: pytest.MonkeyPatch
) -> None:
    def left() -> int:
        return len(docker_engine.docker("ps", "-aq").split())

    async with open_scene(tmp_path, postgres_url, make_repository, monkeypatch, {"PERSEVERE_SANDBOX": "docker"}) as scene:
        await _kill_in_the_midst(scene, left)


@pytest.mark.skipif(bool(missing()), reason=missing())
async def test_at_e2b(tmp_path: Path, postgres_url: str, make_repository: MakeRepository, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_e2b(tmp_path / "e2b") as service:
        named = {"PERSEVERE_SANDBOX": "e2b", "E2B_API_KEY": service.key, "E2B_API_URL": service.url, "E2B_SANDBOX_URL": service.url}
        async with open_scene(tmp_path, postgres_url, make_repository, monkeypatch, named) as scene:
            await _kill_in_the_midst(scene, lambda: len(service.sandboxes))
