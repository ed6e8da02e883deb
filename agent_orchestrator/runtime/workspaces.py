"""Disposable workspaces of one task: a checkout, seen through a sandbox."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import lru_cache
from pathlib import Path, PurePosixPath

from shared import metrics
from shared.errors import InvalidRequestError
from shared.forge.port import Checkout, Diff, Forge
from shared.forge.private import remove_tree
from shared.recipes.repository_config import RepositoryConfig
from shared.sandbox.port import Command, Limits, Sandbox, SandboxProvider, SandboxSpec, System
from shared.types import CommandResult

_START = """import runpy, sys, types
_, tools, *sys.argv = sys.argv
for name, path in (("workflows", []), ("workflows.recipes", []), ("workflows.recipes.tools", [tools])):
    sys.modules[name] = types.ModuleType(name)
    sys.modules[name].__path__ = path
runpy.run_path(sys.argv[0], run_name="__main__")
"""
"""Starts a script that imports its neighbours by their whole names where nothing of Persevere but them can be seen."""
TOOLS = Path(__file__).resolve().parents[2] / "workflows" / "recipes" / "tools"


@lru_cache(maxsize=1)
def interpreter_folders() -> tuple[Path, ...]:
    """What our interpreter and its packages need to be readable inside a sandbox."""
    found = [Path(sys.prefix), Path(sys.base_prefix), TOOLS]
    return tuple(dict.fromkeys(folder.resolve() for folder in found if folder.exists()))


class TaskWorkspaces:
    """Implements `agents.context.Workspaces`. Folders live under `root`/<name> and are removed when a workspace closes."""

    def __init__(
        self,
        *,
        task_id: str,
        repo: str,
        base_commit: str,
        forge: Forge,
        provider: SandboxProvider,
        system: System,
        config: RepositoryConfig,
        root: Path,
        limits: Limits | None = None,
        labels: Mapping[str, str] | None = None,
    ) -> None:
        self._task_id, self._repo, self._base_commit = task_id, repo, base_commit
        self._forge, self._provider, self._config, self._root = forge, provider, config, root
        self._limits = limits or Limits()
        self._labels = dict(labels or {})
        self.system = system

    @property
    def git_dir(self) -> Path:
        return self._root / "commit.git"

    @asynccontextmanager
    async def open(
        self, name: str, patch: bytes = b"", *, readable: Sequence[Path] = (), writable: Sequence[Path] = ()
    ) -> AsyncIterator[SandboxedWorkspace]:
        """A fresh checkout of base commit and patch in a fresh sandbox; both are gone afterwards."""
        folder = self._root / name
        checkout = await self._forge.checkout(self._repo, self._base_commit, patch, folder / "tree", folder / "git")
        sandbox: Sandbox | None = None
        try:
            spec = SandboxSpec(
                workspace=checkout.folder,
                task_id=self._task_id,
                readable=(*(interpreter_folders() if self.system.host else (TOOLS,)), *readable),
                writable=tuple(writable),
                limits=self._limits,
                labels={**self._labels, "workspace": name},
            )
            sandbox = await self._provider.open(spec)
            metrics.sandbox_opened(self._provider.name)
            yield SandboxedWorkspace(checkout, sandbox, self._forge, self._repo, self._config)
        finally:
            if sandbox is not None:
                metrics.sandbox_closed(self._provider.name)
                await sandbox.aclose()
            with contextlib.suppress(OSError):
                remove_tree(folder)


class SandboxedWorkspace:
    """Implements `agents.context.OpenWorkspace`."""

    def __init__(self, checkout: Checkout, sandbox: Sandbox, forge: Forge, repo: str, config: RepositoryConfig) -> None:
        self.sandbox = sandbox
        self._checkout, self._forge, self._repo, self._config = checkout, forge, repo, config

    @property
    def config(self) -> RepositoryConfig:
        return self._config

    async def files(self) -> Sequence[str]:
        return await self._forge.list_files(self._repo, self._checkout.base_commit)

    async def read(self, path: str) -> bytes:
        return await self.sandbox.read(path)

    async def exists(self, path: str) -> bool:
        return await self.sandbox.exists(path)

    async def write(self, path: str, data: bytes) -> None:
        await self.sandbox.write(path, data)

    async def run(self, argv: Sequence[str], *, timeout_s: float = 120, environment: dict[str, str] | None = None) -> CommandResult:
        return await self.sandbox.run(Command(argv=tuple(argv), timeout_s=timeout_s, environment=environment or {}))

    async def run_tool(self, argv: Sequence[str], *, stdin: bytes = b"", timeout_s: float = 300) -> CommandResult:
        return await self.sandbox.run(Command(argv=tool_command(argv, self.sandbox.system), stdin=stdin, timeout_s=timeout_s))

    async def diff(self) -> Diff:
        await self.sandbox.collect()
        return await self._forge.diff(self._checkout)


def tool_command(argv: Sequence[str], system: System) -> tuple[str, ...]:
    """The full command of one of our own tools: a script of ours under an interpreter that has its packages, or a program beside that."""
    name, *rest = argv
    if "/" in name:
        raise InvalidRequestError(f"{name!r} is not the name of a tool.", "Name a script of workflows/recipes/tools or a program.")
    if name.endswith(".py"):
        return (system.tool_python, "-I", "-c", _START, str(TOOLS), str(TOOLS / name), *rest)
    return (str(PurePosixPath(system.tool_python).parent / name), *rest)
