"""A real workspace over a plain folder, running commands as plain subprocesses."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
import sysconfig
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from shared.errors import InvalidRequestError, NotFoundError
from shared.recipes.repository_config import FILE_NAME, RepositoryConfig, parse_repository_config
from shared.types import CommandResult
from workflows.recipes import tools


class FolderWorkspace:
    """Every file below `root` counts as tracked."""

    def __init__(self, root: Path) -> None:
        self.root = root
        config = root / FILE_NAME
        self._config = parse_repository_config(config.read_bytes() if config.exists() else None)

    @property
    def config(self) -> RepositoryConfig:
        return self._config

    async def files(self) -> Sequence[str]:
        found = [path for path in self.root.rglob("*") if path.is_symlink() or path.is_file()]
        return sorted(path.relative_to(self.root).as_posix() for path in found if "__pycache__" not in path.parts)

    def _inside(self, path: str) -> Path:
        full = (self.root / path).resolve()
        if not full.is_relative_to(self.root.resolve()):
            raise InvalidRequestError(f"{path} leaves the workspace")
        return full

    async def read(self, path: str) -> bytes:
        full = self._inside(path)
        if not full.is_file():
            raise NotFoundError(f"{path} does not exist")
        return full.read_bytes()

    async def exists(self, path: str) -> bool:
        return self._inside(path).exists()

    async def write(self, path: str, data: bytes) -> None:
        full = self._inside(path)
        full.parent.mkdir(parents=True, exist_ok=True)
        full.write_bytes(data)

    async def run(self, argv: Sequence[str], *, timeout_s: float = 120, environment: dict[str, str] | None = None) -> CommandResult:
        return await asyncio.to_thread(self._run, list(argv), b"", timeout_s, environment)

    async def run_tool(self, argv: Sequence[str], *, stdin: bytes = b"", timeout_s: float = 300) -> CommandResult:
        if argv[0].endswith(".py"):
            script = Path(tools.__path__[0]) / argv[0]
            command = [sys.executable, "-I", "-B", str(script), *argv[1:]]
        else:
            command = [str(Path(sysconfig.get_path("scripts")) / argv[0]), *argv[1:]]
        return await asyncio.to_thread(self._run, command, stdin, timeout_s, None)

    def _run(self, argv: list[str], stdin: bytes, timeout_s: float, environment: dict[str, str] | None) -> CommandResult:
        started = time.monotonic()
        try:
            done = subprocess.run(
                argv, input=stdin, capture_output=True, cwd=self.root, timeout=timeout_s, env={**os.environ, **(environment or {})}
            )
        except subprocess.TimeoutExpired:
            return CommandResult(exit_code=None, stopped_by="timeout", duration_s=timeout_s)
        except FileNotFoundError as exc:
            return CommandResult(exit_code=127, stderr=str(exc))
        return CommandResult(
            exit_code=done.returncode,
            stdout=done.stdout.decode(errors="replace"),
            stderr=done.stderr.decode(errors="replace"),
            duration_s=time.monotonic() - started,
        )


@pytest.fixture
def repository(tmp_path: Path) -> Callable[[dict[str, str | bytes]], FolderWorkspace]:
    """Writes files into a folder and opens it."""

    def build(files: dict[str, str | bytes]) -> FolderWorkspace:
        for name, content in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return FolderWorkspace(tmp_path)

    return build
