"""Cached environments, with real installs."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import time
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from agents.tester.environment import TesterEnvironments, in_use, prune, python_key
from agents.tester.install import InstallError
from agents.tester.values import PythonNeeds
from shared.sandbox.environment import host_system
from shared.sandbox.port import Command, Sandbox, SandboxSpec
from shared.sandbox.process import ProcessProvider


class Rooms:
    """Opens plain-process sandboxes and counts them."""

    def __init__(self, root: Path) -> None:
        self.root, self.opened = root, 0

    @contextlib.asynccontextmanager
    async def __call__(self, folder: Path) -> AsyncIterator[Sandbox]:
        self.opened += 1
        room = self.root / f"room-{self.opened}"
        room.mkdir()
        (room / "pip.py").write_text("raise SystemExit('shadowed')\n")
        sandbox = await ProcessProvider(self.root / "data").open(SandboxSpec(room, "task_test", writable=[folder]))
        try:
            yield sandbox
        finally:
            await sandbox.aclose()
            shutil.rmtree(room)


async def _quiet(message: str) -> None:
    return None


async def test_made_once_for_all_who_ask(tmp_path: Path) -> None:
    rooms, needs = Rooms(tmp_path), PythonNeeds()
    asked = [TesterEnvironments(tmp_path / "cache", host_system()).python(needs, rooms, 60, _quiet) for _ in range(3)]
    folders = await asyncio.gather(*asked)
    assert len(set(folders)) == 1
    assert rooms.opened == 1
    assert (folders[0] / "bin" / "python").exists()


async def test_an_unfinished_one_is_made_again(tmp_path: Path) -> None:
    rooms, needs = Rooms(tmp_path), PythonNeeds()
    left = tmp_path / "cache" / python_key(needs, host_system()) / "content"
    left.mkdir(parents=True)
    (left / "half").write_text("x")
    folder = await TesterEnvironments(tmp_path / "cache", host_system()).python(needs, rooms, 60, _quiet)
    assert folder == left
    assert not (left / "half").exists()


async def test_cancelling_leaves_nothing(tmp_path: Path) -> None:
    rooms, needs = Rooms(tmp_path), PythonNeeds()
    task: asyncio.Task[Any] = asyncio.create_task(TesterEnvironments(tmp_path / "cache", host_system()).python(needs, rooms, 60, _quiet))
    await asyncio.sleep(0.3)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not (tmp_path / "cache" / python_key(needs, host_system())).exists()


async def test_a_failed_install_says_why(tmp_path: Path) -> None:
    rooms, needs = Rooms(tmp_path), PythonNeeds(requirements=["not a requirement!"])
    with pytest.raises(InstallError, match=r"pip could not install what the tests need: .*not a requirement"):
        await TesterEnvironments(tmp_path / "cache", host_system()).python(needs, rooms, 60, _quiet)
    assert not (tmp_path / "cache" / python_key(needs, host_system())).exists()


def _wheel(folder: Path, name: str, version: str, *needs: str) -> str:
    """A requirement line for a package made here: its module says its version."""
    path = folder / f"{name}-{version}-py3-none-any.whl"
    about = "".join(f"Requires-Dist: {line}\n" for line in needs)
    with zipfile.ZipFile(path, "w") as wheel:
        wheel.writestr(f"{name}.py", f"version = {version!r}\n")
        wheel.writestr(f"{name}-{version}.dist-info/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n{about}")
        wheel.writestr(f"{name}-{version}.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{name}-{version}.dist-info/RECORD", "")
    return f"{name} @ {path.as_uri()}"


async def test_requirements_that_contradict_each_other_are_installed_one_by_one(tmp_path: Path) -> None:
    """As pinned tools of development often do, which no test needs."""
    lines = [_wheel(tmp_path, "below", "1"), _wheel(tmp_path, "above", "1", "below==1"), _wheel(tmp_path, "below", "2")]
    told: list[str] = []

    async def log(message: str) -> None:
        told.append(message)

    rooms = Rooms(tmp_path)
    folder = await TesterEnvironments(tmp_path / "cache", host_system()).python(PythonNeeds(requirements=lines), rooms, 60, log)
    async with rooms(folder) as sandbox:
        said = await sandbox.run(
            Command([str(folder / "bin" / "python"), "-c", "import above, below; print(above.version, below.version)"])
        )
    assert said.stdout == "1 2\n", said
    assert "contradict each other" in told[-1]
    assert "conflict" in told[-1]


def test_the_key_depends_on_what_is_installed() -> None:
    keys = {python_key(PythonNeeds(requirements=lines), host_system()) for lines in ([], ["a"], ["a", "b"])}
    assert len(keys) == 3


@pytest.mark.packages
async def test_packages_are_installed(tmp_path: Path) -> None:
    folder = await TesterEnvironments(tmp_path / "cache", host_system()).python(
        PythonNeeds(requirements=["iniconfig"]), Rooms(tmp_path), 120, _quiet
    )
    async with Rooms(tmp_path)(folder) as sandbox:
        result = await sandbox.run(Command([str(folder / "bin" / "python"), "-c", "import iniconfig"]))
    assert result.ok, result


async def test_what_has_rested_longest_goes_but_nothing_in_use(tmp_path: Path) -> None:
    for age, name in enumerate(("new", "recent", "used", "old", "older")):
        home = tmp_path / name
        (home / "content").mkdir(parents=True)
        (home / "complete").write_text("complete\n")
        days = time.time() - (age * 10 if name != "recent" else 0.5) * 24 * 3600
        os.utime(home / "complete", (days, days))
    async with in_use(str(tmp_path / "used" / "content")):
        prune(tmp_path, kept=1)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["new", "recent", "used"]
    prune(tmp_path, kept=1)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["new", "recent"]


async def test_an_environment_asked_for_again_counts_as_new(tmp_path: Path) -> None:
    rooms, needs = Rooms(tmp_path), PythonNeeds()
    environments = TesterEnvironments(tmp_path / "cache", host_system())
    folder = await environments.python(needs, rooms, 60, _quiet)
    os.utime(folder.parent / "complete", (0, 0))
    assert await environments.python(needs, rooms, 60, _quiet) == folder
    prune(tmp_path / "cache", kept=0)
    assert folder.exists()
