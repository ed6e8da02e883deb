"""Kills a task's process at every fault point, starts it again, and compares the end with that of a life without a kill."""

from __future__ import annotations

import json
import multiprocessing
import shutil
import subprocess
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from tests.chaos.scenario import APP, TESTS, Ordeal, live
from tests.chaos.verdict import Story, read_story

LIFE_S = 120
KILLED = -9
PROCESSES = 2
_GIT = ["git", "-c", "user.name=Test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false"]


@dataclass(frozen=True)
class Outcome:
    """What became of one kill. `reached` is False when the process ended before it came to the point so often."""

    point: str
    passing: int
    reached: bool
    wrong: tuple[str, ...]
    seconds: float


class Sweep:
    """Makes a fresh database, repository and data folder for every ordeal. `make_url` is called from several threads."""

    def __init__(self, make_url: Callable[[], str], folder: Path, *, by_model: bool = False) -> None:
        self._by_model = by_model
        self._make_url, self._folder, self._number = make_url, folder, 0
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(
            ["tests.chaos.scenario", "agent_orchestrator.runtime.worker", "agent_orchestrator.runtime.executor"]
        )
        self._repository = _make_repository(folder / "repository")

    def undisturbed(self) -> tuple[Story, dict[str, int]]:
        """A life without a kill, and how often it passed each point."""
        ordeal = self._prepare()
        counts = ordeal.data_dir.with_suffix(".json")
        assert self._live(replace(ordeal, count_to=counts)) == 0, _log(ordeal)
        story = read_story(ordeal)
        assert not story.faults, story.faults
        return story, json.loads(counts.read_text())

    def kill_at(self, expected: Story, kills: Sequence[tuple[str, int]]) -> list[Outcome]:
        """Each (point, passing) in a life of its own."""
        with ThreadPoolExecutor(PROCESSES) as threads:
            return list(threads.map(lambda kill: self._kill(expected, *kill), kills))

    def kill_after(self, expected: Story, moments: Sequence[float]) -> Outcome:
        """One task that dies several times, each life so many seconds long."""
        started = time.monotonic()
        ordeal = self._prepare()
        ended = [self._live(ordeal, after_s=moment) for moment in moments]
        wrong = [f"exit code {code}: {_log(ordeal)}" for code in (*ended, self._live(ordeal)) if code not in (KILLED, 0)]
        wrong += [] if wrong else differences(expected, read_story(ordeal))
        point = f"after {', '.join(f'{moment:.2f}' for moment in moments)} s"
        return Outcome(point, 1, KILLED in ended, tuple(wrong), time.monotonic() - started)

    def disturb(
        self,
        expected: Story,
        disturbance: Callable[[Ordeal, Callable[[], bool]], None],
        prepare: Callable[[Path], None] = lambda data_dir: None,
    ) -> list[str]:
        """One life on an embedded server of its own that is disturbed meanwhile; what is wrong afterwards."""
        ordeal = replace(self._prepare(), database_url=None)
        prepare(ordeal.data_dir)
        process = self._context.Process(target=live, args=(ordeal,))
        process.start()
        disturbance(ordeal, process.is_alive)
        process.join(LIFE_S)
        if process.exitcode != 0:
            process.kill()
            return [f"exit code {process.exitcode}: {_log(ordeal)}"]
        return differences(expected, read_story(ordeal))

    def _kill(self, expected: Story, point: str, passing: int) -> Outcome:
        started = time.monotonic()
        ordeal = self._prepare()
        ended = self._live(replace(ordeal, point=point, passing=passing))
        wrong = [] if ended in (KILLED, 0) else [f"exit code {ended}: {_log(ordeal)}"]
        if ended == KILLED and (again := self._live(ordeal)) != 0:
            wrong.append(f"started again: exit code {again}: {_log(ordeal)}")
        if not wrong:
            wrong += differences(expected, read_story(ordeal))
        shutil.rmtree(ordeal.data_dir.parent, ignore_errors=True)
        return Outcome(point, passing, ended == KILLED, tuple(wrong), time.monotonic() - started)

    def _prepare(self) -> Ordeal:
        self._number += 1
        home = self._folder / str(self._number)
        home.mkdir()
        shutil.copytree(self._repository, home / "repository", symlinks=True)
        (home / "data").mkdir(mode=0o700)
        return Ordeal(self._make_url(), home / "data", home / "repository", by_model=self._by_model)

    def _live(self, ordeal: Ordeal, after_s: float = LIFE_S) -> int | None:
        """The exit code of one life; a negative one when it was ended, None when it did not end by itself in `LIFE_S`."""
        process = self._context.Process(target=live, args=(ordeal,))
        process.start()
        process.join(after_s)
        if process.exitcode is None:
            process.kill()
            process.join()
            return None if after_s == LIFE_S else process.exitcode
        return process.exitcode


def kills_of(counts: dict[str, int], *, every: bool = False) -> list[tuple[str, int]]:
    """The first and the last passing of each point, or every one."""
    return [
        (point, passing) for point, count in sorted(counts.items()) for passing in (range(1, count + 1) if every else sorted({1, count}))
    ]


def differences(expected: Story, story: Story) -> list[str]:
    wrong = list(story.faults)
    for name in ("ended", "events", "approvals", "effects", "tree"):
        was, should = getattr(story, name), getattr(expected, name)
        if was != should:
            wrong.append(f"{name}: {_first_difference(was, should)}")
    return wrong


def _first_difference(was: Sequence[object], should: Sequence[object]) -> str:
    if isinstance(was, str):
        return f"{was}, not {should}"
    for number, (left, right) in enumerate(zip(was, should, strict=False)):
        if left != right:
            return f"number {number + 1} is {left}, not {right}"
    return f"{len(was)} of them, not {len(should)}: {list(was[len(should) :]) or list(should[len(was) :])}"


def _log(ordeal: Ordeal) -> str:
    log = ordeal.data_dir.with_suffix(".log")
    return log.read_text()[-3000:] if log.exists() else ""


def _make_repository(folder: Path) -> Path:
    folder.mkdir()
    (folder / "app.py").write_text(APP)
    (folder / "test_app.py").write_text(TESTS)
    for argv in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "start"]):
        subprocess.run([*_GIT, *argv], cwd=folder, check=True)
    return folder
