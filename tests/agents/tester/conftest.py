"""A task's context on real files, a real sandbox and a real pytest; only the record of the task is kept in memory."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from importlib.metadata import distribution
from pathlib import Path
from typing import Any, cast

import pytest

from agents.context import TaskContext
from agents.tester.environment import python_key
from agents.tester.graph import build_tester_graph
from agents.tester.state import TesterState
from agents.tester.values import PythonNeeds
from shared.errors import NotFoundError
from shared.forge.port import Diff
from shared.recipes.repository_config import RepositoryConfig, parse_repository_config
from shared.sandbox.bubblewrap import BubblewrapProvider
from shared.sandbox.environment import host_system
from shared.sandbox.port import Command, Limits, Sandbox, SandboxSpec
from shared.store.records import Task
from shared.types import CommandResult, Json, Stage, TaskStatus, TestResults, sha256_hex

Files = Mapping[str, str]
BASE = "0" * 40


class FolderWorkspace:
    """A copy of a folder in a sandbox."""

    def __init__(self, folder: Path, sandbox: Sandbox, config: RepositoryConfig) -> None:
        self.folder, self.sandbox, self.config = folder, sandbox, config

    async def files(self) -> Sequence[str]:
        return sorted(str(path.relative_to(self.folder)) for path in self.folder.rglob("*") if path.is_file())

    async def read(self, path: str) -> bytes:
        return await self.sandbox.read(path)

    async def exists(self, path: str) -> bool:
        return await self.sandbox.exists(path)

    async def write(self, path: str, data: bytes) -> None:
        await self.sandbox.write(path, data)

    async def run(self, argv: Sequence[str], *, timeout_s: float = 120, environment: dict[str, str] | None = None) -> CommandResult:
        return await self.sandbox.run(Command(argv, timeout_s=timeout_s, environment=environment or {}))

    async def run_tool(self, argv: Sequence[str], *, stdin: bytes = b"", timeout_s: float = 300) -> CommandResult:
        return await self.sandbox.run(Command(argv, timeout_s=timeout_s, stdin=stdin))

    async def diff(self) -> Diff:
        return Diff(BASE, b"")


class FolderWorkspaces:
    """Workspaces made from a folder and a patch, each removed at its end."""

    def __init__(self, base: Path, rooms: Path, config: RepositoryConfig) -> None:
        self.base, self.rooms, self.config = base, rooms, config
        self.opened: list[str] = []
        self.limits = Limits(memory_mb=1024, processes=128, disk_mb=512)
        self.system = host_system()

    @contextlib.asynccontextmanager
    async def open(
        self, name: str, patch: bytes = b"", *, readable: Sequence[Path] = (), writable: Sequence[Path] = ()
    ) -> AsyncIterator[FolderWorkspace]:
        self.opened.append(name)
        folder = self.rooms / f"{len(self.opened)}-{name}"
        shutil.copytree(self.base, folder)
        if patch:
            subprocess.run(["git", "apply", "--whitespace=nowarn", "-"], cwd=folder, input=patch, check=True)
        spec = SandboxSpec(folder, "task_test", readable=readable, writable=writable, limits=self.limits)
        sandbox = await BubblewrapProvider().open(spec)
        try:
            yield FolderWorkspace(folder, sandbox, self.config)
        finally:
            await sandbox.aclose()
            shutil.rmtree(folder, ignore_errors=True)


class MemoryJournal:
    def __init__(self) -> None:
        self.lines: list[str] = []
        self.artifacts: dict[str, bytes] = {}
        self.events: list[tuple[str, Json]] = []
        self.fields: Json = {}

    async def log(self, stage: Stage, message: str, level: str = "info") -> None:
        self.lines.append(message)

    async def event(self, stage: Stage, type: str, data: Json) -> None:
        self.events.append((type, data))

    async def update(
        self, stage: Stage, status: TaskStatus | None = None, *, events: list[tuple[str, Json]] | None = None, **fields: Any
    ) -> None:
        self.fields.update(fields, stage=stage)
        self.events += events or []

    async def save_artifact(self, name: str, data: bytes, media_type: str = "text/plain") -> str:
        self.artifacts[name] = data
        return sha256_hex(data)

    async def load_artifact(self, name: str) -> bytes:
        if name not in self.artifacts:
            raise NotFoundError(f"There is no artifact {name}.")
        return self.artifacts[name]

    async def drop_artifacts(self, begin: str, end: str) -> None:
        for name in [name for name in self.artifacts if name.startswith(begin) and name.endswith(end)]:
            del self.artifacts[name]


class Bench:
    """Tests a repository given as files, with a change given as files (None deletes one)."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.journal = MemoryJournal()
        self.workspaces: FolderWorkspaces | None = None
        self.environments = folder / "environments"
        self.limits: Json = {"test_timeout_s": 30, "setup_timeout_s": 120}
        self.notes: list[str] = []

    async def test(self, files: Files, change: Mapping[str, str | None] | None = None) -> TestResults:
        self.folder.mkdir(exist_ok=True)
        base, after = self.folder / "a", self.folder / "b"
        _write(base, files)
        _write(after, {**files, **{path: text for path, text in (change or {}).items() if text is not None}})
        for path in (path for path, text in (change or {}).items() if text is None):
            (after / path).unlink()
        patch = _diff(self.folder)
        self.journal.artifacts["change.patch"] = patch
        config = parse_repository_config(files.get(".persevere.yml", "").encode())
        self.workspaces = FolderWorkspaces(base, self.folder / "rooms", config)
        self.workspaces.rooms.mkdir()
        state: TesterState = {"base_commit": BASE, "patch_sha256": sha256_hex(BASE.encode() + b"\n" + patch) if change else None}
        result = await build_tester_graph().compile().ainvoke(state, context=self._context(config))
        assert not list(self.workspaces.rooms.iterdir())
        self.notes = result["test_notes"]
        return TestResults.model_validate(result["test_results"])

    def seed(self, *requirements: str, with_packages: Sequence[str] = ("pytest",)) -> None:
        """Put the environment for `requirements` into the cache, made of packages of our own environment: needs no network."""
        folder = self.environments / python_key(PythonNeeds(requirements=list(requirements)), host_system()) / "content"
        subprocess.run([host_system().python, "-I", "-m", "venv", "--without-pip", str(folder)], check=True)
        target = folder / "lib" / f"python{sys.version_info.major}.{sys.version_info.minor}" / "site-packages"
        for name in [*with_packages, "pluggy", "iniconfig", "packaging", "pygments"]:
            _copy_distribution(name, target)
        (folder.parent / "complete").write_text("complete\n")

    def _context(self, config: RepositoryConfig) -> TaskContext:
        unused = cast(Any, None)
        task = Task(id="task_test", user_id="local", title="t", prompt="p", repo=str(self.folder))
        return TaskContext(
            task=task,
            config=config,
            recipes=unused,
            workspaces=cast(Any, self.workspaces),
            forge=unused,
            journal=self.journal,
            effects=unused,
            pull_requests=unused,
            limits=self.limits,
            environments=self.environments,
            isolated=True,
        )


def _write(folder: Path, files: Files) -> None:
    folder.mkdir(exist_ok=True)
    for path, text in files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)


def _diff(folder: Path) -> bytes:
    result = subprocess.run(
        ["git", "diff", "--no-index", "--binary", "--no-renames", "a", "b"], cwd=folder, capture_output=True, check=False
    )
    return result.stdout.replace(b"a/a/", b"a/").replace(b"b/b/", b"b/").replace(b"a/b/", b"a/").replace(b"b/a/", b"b/")


def _copy_distribution(name: str, target: Path) -> None:
    found = distribution(name)
    for file in found.files or []:
        if file.suffix in (".pyc",) or ".." in file.parts:
            continue
        (target / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(str(found.locate_file(file)), target / file)


@pytest.fixture
async def bench(tmp_path: Path) -> Bench:
    """A bench whose pytest environment is there already."""
    probe = await BubblewrapProvider().probe()
    if not probe.works:
        pytest.skip(f"{probe.reason}; {probe.next_step}")
    made = Bench(tmp_path)
    made.seed("pytest")
    return made
