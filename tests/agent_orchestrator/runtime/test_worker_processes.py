"""Workers as processes that are killed, stopped and drained; times are measured and printed with `-s`."""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from agent_orchestrator.resources import Resources
from agent_orchestrator.tasks.service import TaskService
from config.settings import Settings
from shared.types import TaskStatus
from tests.agent_orchestrator.runtime.driving import approve_all, decide, ended, submit, waiting
from tests.agent_orchestrator.runtime.processes import Gate, alive, database_rows, elsewhere, record, until, workers

pytestmark = pytest.mark.slow


@pytest.fixture
def gate(tmp_path: Path) -> Gate:
    return Gate(tmp_path)


@pytest.fixture
def figure(record_property: Callable[[str, object], None]) -> Callable[..., None]:
    """Notes seconds in the report of the test and, with `-s`, on the terminal."""

    def note(name: str, *seconds: float) -> None:
        shown = ", ".join(f"{one:.2f} s" for one in seconds)
        record_property(name, shown)
        sys.stderr.write(f"\n{name}: {shown}\n")

    return note


async def running(resources: Resources, gate: Gate) -> str:
    """A task whose command a worker has begun to run."""
    times = len(gate.processes()) // 2
    task = await submit(resources, gate.repo, "run migrate", "infrastructure")
    await decide(resources, await waiting(resources, task.id), "approve")
    await gate.until_begun(times + 1, 20)
    return task.id


async def test_a_killed_workers_run_goes_on_elsewhere_within_20_s(
    resources: Resources, gate: Gate, settings: Settings, tmp_path: Path, figure: Callable[..., None]
) -> None:
    prefix = elsewhere()
    async with workers(str(settings.database_url), tmp_path) as start:
        first = await start()
        task_id = await running(resources, gate)
        await start(prefix=prefix, data="elsewhere")
        first.send(signal.SIGKILL)
        took = await until(lambda: len(gate.processes()) >= 4, 25)
        gate.open()
        assert (await ended(resources, task_id)).status is TaskStatus.COMPLETED
    figure("reclaimed elsewhere", took)
    assert took < 20


async def test_the_next_start_on_the_machine_takes_over_within_2_s(
    resources: Resources, gate: Gate, settings: Settings, tmp_path: Path, figure: Callable[..., None]
) -> None:
    async with workers(str(settings.database_url), tmp_path) as start:
        first = await start()
        task_id = await running(resources, gate)
        epoch = record(str(settings.database_url), task_id)["runs"][0]["epoch"]
        first.send(signal.SIGKILL)
        await first.ended()
        await start()
        with database_rows(str(settings.database_url)) as rows:
            took = await until(lambda: rows("SELECT 1 FROM runs WHERE epoch > %s AND state = 'running'", epoch), 10)
        gate.open()
        done = await ended(resources, task_id)
    figure("taken over after the next start", took)
    assert took < 2
    assert done.status is TaskStatus.COMPLETED
    assert not [pid for pid in gate.processes() if alive(pid)]


async def test_a_worker_that_was_stopped_for_longer_than_its_lease_changes_nothing(
    resources: Resources, gate: Gate, settings: Settings, tmp_path: Path
) -> None:
    url = str(settings.database_url)
    async with workers(url, tmp_path, worker_lease_s="3") as start:
        first = await start()
        task_id = await running(resources, gate)
        first.send(signal.SIGSTOP)
        second = await start()
        await gate.until_begun(2)
        gate.open()
        done = await ended(resources, task_id)
        await until(lambda: record(url, task_id)["runs"][0]["state"] == "idle")
        before = record(url, task_id)
        first.send(signal.SIGCONT)
        await asyncio.sleep(6)
        assert record(url, task_id) == before
        assert done.status is TaskStatus.COMPLETED, (done.error, second.errors, first.errors)
        seqs = [event["seq"] for event in sorted(before["events"], key=lambda event: event["seq"])]
        assert seqs == list(range(1, len(seqs) + 1))
        second.send(signal.SIGTERM)
        assert await second.ended() == 0
        again, _ = await approve_all(resources, (await submit(resources, gate.repo, "run migrate", "infrastructure")).id)
        assert again.status is TaskStatus.COMPLETED, first.errors


async def test_a_running_task_is_cancelled_within_a_second(
    resources: Resources, gate: Gate, settings: Settings, tmp_path: Path, figure: Callable[..., None]
) -> None:
    async with workers(str(settings.database_url), tmp_path) as start:
        await start()
        times = []
        for _ in range(3):
            task_id = await running(resources, gate)
            began = time.monotonic()
            task = await TaskService(resources).cancel(task_id, "local")
            times.append(time.monotonic() - began)
            left = [pid for pid in gate.processes() if alive(pid)]
            assert (task.status, left) == (TaskStatus.CANCELLED, [])
    figure("cancelled", *times)
    assert max(times) < 1


async def test_a_drained_worker_hands_over_at_once_and_ends_well(
    resources: Resources, gate: Gate, settings: Settings, tmp_path: Path, figure: Callable[..., None]
) -> None:
    async with workers(str(settings.database_url), tmp_path, worker_drain_s="1") as start:
        first = await start()
        task_id = await running(resources, gate)
        await start(data="other")
        began = time.monotonic()
        first.send(signal.SIGTERM)
        await gate.until_begun(2, 10)
        handed = time.monotonic() - began
        assert await first.ended() == 0, first.errors
        drained = time.monotonic() - began
        gate.open()
        done = await ended(resources, task_id)
    figure("running elsewhere, drained, ended", handed, first.said[1]["seconds"], drained)
    assert [line["type"] for line in first.said] == ["ready", "drained"]
    assert first.said[1]["handed_over"] == 1
    assert drained < 5
    assert handed < 5
    assert done.status is TaskStatus.COMPLETED


async def test_a_drained_worker_finishes_its_step_and_begins_no_other(
    resources: Resources, gate: Gate, settings: Settings, tmp_path: Path
) -> None:
    async with workers(str(settings.database_url), tmp_path, worker_drain_s="60") as start:
        first = await start()
        task_id = await running(resources, gate)
        first.send(signal.SIGTERM)
        await asyncio.sleep(1)
        assert first.process.returncode is None
        gate.open()
        assert await first.ended(20) == 0
        assert first.said[1]["handed_over"] == 1
        kept = record(str(settings.database_url), task_id)["tasks"][0]
        assert kept["finished_at"] is None
        await start()
        assert (await ended(resources, task_id)).status is TaskStatus.COMPLETED
    assert len(gate.processes()) == 2, "the command ran once: its step was finished before the hand-over"


async def test_a_second_signal_does_not_wait_for_the_step(resources: Resources, gate: Gate, settings: Settings, tmp_path: Path) -> None:
    async with workers(str(settings.database_url), tmp_path, worker_drain_s="600") as start:
        first = await start()
        await running(resources, gate)
        first.send(signal.SIGINT)
        await asyncio.sleep(1)
        assert first.process.returncode is None
        first.send(signal.SIGINT)
        assert await first.ended(10) == 0
        assert first.said[1]["handed_over"] == 1
        with database_rows(str(settings.database_url)) as rows:
            assert [row["state"] for row in rows("SELECT state FROM runs")] == ["idle"]
            assert {row["status"] for row in rows("SELECT status FROM procrastinate_jobs")} == {"todo"}


async def test_a_worker_that_is_told_to_end_while_it_starts(settings: Settings, tmp_path: Path) -> None:
    async with workers(str(settings.database_url), tmp_path) as start:
        for pause in (1.0, 1.5, 2.0, 2.5, 3.0):
            worker = await start(wait=False)
            await asyncio.sleep(pause)
            worker.send(signal.SIGTERM)
            assert await worker.ended(20) in (0, -signal.SIGTERM), worker.errors
