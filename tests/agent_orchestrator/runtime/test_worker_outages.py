"""Workers that lose their database, or the network, and get it back; and workers that are restarted under load."""

from __future__ import annotations

import asyncio
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from agent_orchestrator.resources import Resources
from config.settings import Settings
from shared.store.records import Task
from shared.types import TaskStatus
from tests.agent_orchestrator.conftest import git
from tests.agent_orchestrator.runtime.cable import Cable
from tests.agent_orchestrator.runtime.driving import approve_all, decide, ended, submit, waiting
from tests.agent_orchestrator.runtime.processes import Gate, WorkerProcess, record, until, workers

pytestmark = pytest.mark.slow


async def _begun(resources: Resources, gate: Gate) -> Task:
    times = len(gate.processes()) // 2
    task = await submit(resources, gate.repo, "run migrate", "infrastructure")
    await decide(resources, await waiting(resources, task.id), "approve")
    await gate.until_begun(times + 1, 30)
    return task


def _seqs(url: str, task_id: str) -> list[int]:
    return sorted(event["seq"] for event in record(url, task_id)["events"])


@pytest.mark.parametrize("away_s", [20, 45])
async def test_runs_go_on_after_an_outage_of_the_database(resources: Resources, settings: Settings, tmp_path: Path, away_s: int) -> None:
    gate, url = Gate(tmp_path), str(settings.database_url)
    cable = Cable(url)
    await cable.mend()
    try:
        async with workers(cable.url, tmp_path) as start:
            both = [await start(data="one"), await start(data="two")]
            tasks = [await _begun(resources, gate) for _ in range(2)]
            await cable.cut()
            await asyncio.sleep(away_s / 2)
            gate.open()
            await asyncio.sleep(away_s / 2)
            await cable.mend()
            mended = time.monotonic()
            for task in tasks:
                done = await ended(resources, task.id)
                assert (done.status, done.outcome) == (TaskStatus.COMPLETED, "answered"), (done.error, both[0].errors)
                seqs = _seqs(url, task.id)
                assert seqs == list(range(1, len(seqs) + 1))
                assert [event["type"] for event in record(url, task.id)["events"]].count("task_completed") == 1
            sys.stderr.write(f"\nafter {away_s} s without a database: both done {time.monotonic() - mended:.1f} s later\n")
            assert [worker.process.returncode for worker in both] == [None, None]
    finally:
        await cable.cut()


async def test_a_rolling_restart_under_load(resources: Resources, repository: Path, settings: Settings, tmp_path: Path) -> None:
    """Three workers, thirty tasks, each worker restarted in turn. A lease of 60 s: whoever had to wait for a reap would be late."""
    _with_command(repository)
    async with workers(str(settings.database_url), tmp_path, worker_lease_s="60", worker_concurrency="3") as start:
        serving: list[WorkerProcess] = [await start(data=f"data{number}") for number in range(3)]
        began = time.monotonic()
        driven = [asyncio.create_task(_through(resources, repository, number * 0.5)) for number in range(30)]
        drains: list[float] = []
        for number in range(3):
            await asyncio.sleep(3)
            serving[number].send(signal.SIGTERM)
            assert await serving[number].ended() == 0, serving[number].errors
            drains.append(serving[number].said[-1]["seconds"])
            await start(data=f"data{number}")
        done = await asyncio.gather(*driven)
    assert {(task.status, task.outcome) for task in done} == {(TaskStatus.COMPLETED, "answered")}, [task.error for task in done]
    times = sorted((task.finished_at - task.created_at).total_seconds() for task in done if task.finished_at)
    sys.stderr.write(f"\n30 tasks in {time.monotonic() - began:.1f} s, slowest {times[-1]:.1f} s; drains {drains} s\n")
    assert times[-1] < 45


async def test_workers_that_are_killed_under_load(resources: Resources, repository: Path, settings: Settings, tmp_path: Path) -> None:
    """Three workers, twenty tasks, one killed every few seconds and started again: every task ends well, its events without a gap."""
    _with_command(repository)
    async with workers(str(settings.database_url), tmp_path, worker_concurrency="3") as start:
        serving: list[WorkerProcess] = [await start(data=f"data{number}") for number in range(3)]
        driven = [asyncio.create_task(_through(resources, repository, number * 0.5)) for number in range(20)]
        for number in range(4):
            await asyncio.sleep(2)
            serving[number].send(signal.SIGKILL)
            await serving[number].ended()
            serving.append(await start(data=f"data{number}"))
        done = await asyncio.gather(*driven)
    assert {(task.status, task.outcome) for task in done} == {(TaskStatus.COMPLETED, "answered")}, [task.error for task in done]
    for task in done:
        seqs = _seqs(str(settings.database_url), task.id)
        assert seqs == list(range(1, len(seqs) + 1))
        types = [event["type"] for event in record(str(settings.database_url), task.id)["events"]]
        assert [types.count(name) for name in ("plan_ready", "approval_required", "approval_decided", "task_completed")] == [1, 1, 1, 1]


def _with_command(repository: Path) -> None:
    (repository / ".persevere.yml").write_text("commands:\n  migrate:\n    run: [sleep, '0.5']\n")
    git(repository, "add", "-A")
    git(repository, "commit", "-q", "-m", "a command")


async def _through(resources: Resources, repository: Path, after_s: float) -> Task:
    await asyncio.sleep(after_s)
    task = await submit(resources, repository, "run migrate", "infrastructure")
    return (await approve_all(resources, task.id))[0]


@contextmanager
def _machines(*names: str) -> Iterator[Callable[..., None]]:
    """Network namespaces 10.231.N.2, each joined to ours at 10.231.N.1 by a link of its own name."""
    ip = shutil.which("ip")
    if ip is None or subprocess.run([ip, "netns", "add", names[0]], capture_output=True, check=False).returncode:
        pytest.skip("needs root and iproute2 (Debian: apt-get install iproute2), to make network namespaces")

    def run(*argv: str) -> None:
        subprocess.run([str(ip), *argv], check=True, capture_output=True)

    try:
        for number, name in enumerate(names):
            if number:
                run("netns", "add", name)
            run("link", "add", name, "type", "veth", "peer", "name", "up0", "netns", name)
            run("addr", "add", f"10.231.{number}.1/24", "dev", name)
            run("link", "set", name, "up")
            run("-n", name, "addr", "add", f"10.231.{number}.2/24", "dev", "up0")
            run("-n", name, "link", "set", "up0", "up")
            run("-n", name, "link", "set", "lo", "up")
        yield run
    finally:
        for name in names:
            subprocess.run([str(ip), "netns", "del", name], capture_output=True, check=False)
            subprocess.run([str(ip), "link", "del", name], capture_output=True, check=False)


async def test_two_machines_of_which_one_is_cut_off(resources: Resources, settings: Settings, tmp_path: Path) -> None:
    """The first machine's link goes down without a goodbye; the second one takes over; back again, the first changes nothing."""
    gate, url = Gate(tmp_path), str(settings.database_url)
    with _machines("pv-one", "pv-two") as ip:
        cables = [Cable(url, f"10.231.{number}.1") for number in range(2)]
        for cable in cables:
            await cable.mend()
        try:
            async with workers(url, tmp_path) as start:
                machine = [
                    ["ip", "netns", "exec", name, "unshare", "--uts", "sh", "-c", f'hostname {name} && exec "$@"', "sh"]
                    for name in ("pv-one", "pv-two")
                ]
                first = await start(prefix=machine[0], data="one", database_url=cables[0].url)
                task = await _begun(resources, gate)
                await start(prefix=machine[1], data="two", database_url=cables[1].url)
                ip("link", "set", "pv-one", "down")
                took = await until(lambda: len(gate.processes()) >= 4, 30)
                gate.open()
                done = await ended(resources, task.id)
                await until(lambda: record(url, task.id)["runs"][0]["state"] == "idle")
                before = record(url, task.id)
                ip("link", "set", "pv-one", "up")
                await asyncio.sleep(10)
                assert record(url, task.id) == before
                assert done.status is TaskStatus.COMPLETED, done.error
                assert first.process.returncode is None, first.errors
        finally:
            for cable in cables:
                await cable.cut()
    sys.stderr.write(f"\ntaken over from a machine that was cut off after {took:.1f} s\n")
    assert took < 20
