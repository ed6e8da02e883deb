"""What killed workers leave at E2B is found, rescued and removed, by one of those who look."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import SecretStr

from shared.errors import SandboxError, SandboxUnreachableError
from shared.sandbox.e2b import E2BProvider
from shared.sandbox.e2b_creation import LABEL, OPENED, create
from shared.sandbox.e2b_machine import E2BAccount
from shared.sandbox.port import Leftover
from tests.stand_ins.e2b import E2BStandIn, open_e2b
from tests.stand_ins.e2b_machine import missing

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())


class Keeper:
    """Disowns what it is told to, and fetches what is left."""

    def __init__(self, folder: Path, *disowned: str, broken: int = 0) -> None:
        self.folder, self.disowned, self.broken = folder, disowned, broken
        self.rescued: list[Mapping[str, str]] = []

    async def owns(self, labels: Mapping[str, str]) -> bool:
        return labels.get("task") not in self.disowned

    async def rescue(self, leftover: Leftover) -> None:
        if self.broken:
            self.broken -= 1
            raise SandboxError("no room for it")
        await leftover.fetch(self.folder)
        self.rescued.append(dict(leftover.labels))


@pytest.fixture
def e2b(tmp_path: Path) -> Iterator[E2BStandIn]:
    with open_e2b(tmp_path / "e2b") as stand_in:
        yield stand_in


@pytest.fixture
def account(e2b: E2BStandIn) -> E2BAccount:
    return E2BAccount(SecretStr(e2b.key), "persevere", 600, e2b.url, e2b.url, patience_s=20)


@pytest.fixture
def provider(account: E2BAccount) -> E2BProvider:
    return E2BProvider(account)


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    (folder / "kept").write_text("as it was\n")
    return folder


_OWNER = """
import asyncio, sys
from pathlib import Path
from pydantic import SecretStr
from shared.sandbox.e2b import E2BProvider
from shared.sandbox.e2b_machine import E2BAccount
from shared.sandbox.port import Command, SandboxSpec
async def main(url, key, workspace, *tasks):
    for task in tasks:
        labels = {"task": task, "epoch": "3"}
        opened = await E2BProvider(E2BAccount(SecretStr(key), "persevere", 600, url, url)).open(
            SandboxSpec(workspace=Path(workspace), task_id=task, labels=labels))
        await opened.run(Command(argv=["/bin/sh", "-c", "echo work of " + task + " >work; mkdir -p d; rm kept"]))
    running = asyncio.create_task(opened.run(Command(argv=["/bin/sh", "-c", "sleep 600"], timeout_s=600)))
    await asyncio.sleep(0.3)
    print("ready", flush=True)
    await running
asyncio.run(main(*sys.argv[1:]))
"""


def leave(e2b: E2BStandIn, workspace: Path, *tasks: str) -> None:
    """Sandboxes of a worker that was killed."""
    argv = [sys.executable, "-c", _OWNER, e2b.url, e2b.key, str(workspace), *tasks]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGKILL)


async def test_what_a_killed_worker_leaves_is_rescued_and_removed(
    e2b: E2BStandIn, provider: E2BProvider, workspace: Path, tmp_path: Path
) -> None:
    leave(e2b, workspace, "task_1", "task_2", "task_3")
    e2b.page = 1
    by_task = {kept.metadata[LABEL + "task"]: identifier for identifier, kept in e2b.sandboxes.items()}
    e2b.expire(by_task["task_1"])
    left = tmp_path / "left"
    left.mkdir()
    (left / "stale").write_text("of before")
    keeper = Keeper(left, "task_1")
    before = _leaked()
    assert await provider.sweep() == 0
    assert await provider.sweep(keeper) == 1
    assert sorted(path.name for path in left.iterdir()) == ["d", "work"]
    assert (left / "work").read_text() == "work of task_1\n"
    assert keeper.rescued == [{"task": "task_1", "epoch": "3"}]
    assert set(e2b.sandboxes) == {by_task["task_2"], by_task["task_3"]}
    running = Keeper(left, "task_3")
    assert await provider.sweep(running) == 1
    assert (left / "work").read_text() == "work of task_3\n", "one that still ran"
    assert set(e2b.sandboxes) == {by_task["task_2"]}
    assert _leaked() - before == 2


def _leaked() -> float:
    from shared.metrics.registry import metrics as recorded

    return float(recorded().sandboxes_leaked._value.get())


async def abandon(account: E2BAccount, *tasks: str) -> None:
    """The same, without a worker to kill."""
    for task in tasks:
        machine = await create(account, {"task": task})
        await machine.ask("mkdir -p /workspace; echo work >/workspace/work", "persevere")
        machine.forget()


async def test_two_workers_sweep_at_once(e2b: E2BStandIn, account: E2BAccount, tmp_path: Path) -> None:
    await abandon(account, "task_1")
    keepers = [Slow(tmp_path / str(number), "task_1") for number in range(2)]
    for keeper in keepers:
        keeper.folder.mkdir()
    first = asyncio.create_task(E2BProvider(account).sweep(keepers[0]))
    await keepers[0].began.wait()
    assert await E2BProvider(account).sweep(keepers[1]) == 0
    assert not keepers[1].began.is_set()
    keepers[0].go.set()
    assert await first == 1
    assert len(keepers[0].rescued) == 1
    assert not e2b.sandboxes


class Slow(Keeper):
    """Rescues when it is told to."""

    def __init__(self, folder: Path, *disowned: str) -> None:
        super().__init__(folder, *disowned)
        self.began, self.go = asyncio.Event(), asyncio.Event()

    async def rescue(self, leftover: Leftover) -> None:
        self.began.set()
        await self.go.wait()
        await super().rescue(leftover)


async def test_a_rescue_that_fails_is_tried_again_and_given_up(e2b: E2BStandIn, account: E2BAccount, tmp_path: Path) -> None:
    await abandon(account, "task_1", "task_2")
    provider = E2BProvider(account)
    (tmp_path / "left").mkdir()
    keeper = Keeper(tmp_path / "left", "task_1", broken=1)
    assert await provider.sweep(keeper) == 0
    kept = next(kept for kept in e2b.sandboxes.values() if kept.metadata[LABEL + "task"] == "task_1")
    assert kept.state == "paused"
    assert await provider.sweep(keeper) == 1
    assert len(keeper.rescued) == 1
    hopeless = Keeper(tmp_path / "left", "task_2", broken=99)
    assert [await provider.sweep(hopeless) for _ in range(5)] == [0] * 5, "however often it fails"
    (kept,) = e2b.sandboxes.values()
    assert abs(int(kept.metadata[OPENED]) - time.time()) < 60
    for age_s, removed in ((23 * 3600, 0), (25 * 3600, 1)):
        kept.asked["metadata"] = {**kept.metadata, OPENED: str(int(time.time()) - age_s)}
        assert await provider.sweep(hopeless) == removed
    assert not e2b.sandboxes


async def test_a_sweep_bears_what_goes_wrong(e2b: E2BStandIn, account: E2BAccount, tmp_path: Path) -> None:
    await abandon(account, "task_1")
    provider, keeper = E2BProvider(replace(account, patience_s=0.3)), Keeper(tmp_path, "task_1")
    e2b.fail("GET /v2/sandboxes", 401, times=1)
    with pytest.raises(SandboxError, match="E2B_API_KEY"):
        await provider.sweep(keeper)
    e2b.become("503")
    with pytest.raises(SandboxUnreachableError):
        await provider.sweep(keeper)
    e2b.become("")
    e2b.fail("POST /v2/sandboxes/.*/connect", 500, times=1)
    assert await provider.sweep(keeper) == 0
    assert len(e2b.sandboxes) == 1
    e2b.kill(next(iter(e2b.sandboxes)))
    assert await provider.sweep(keeper) == 0
