"""The sandbox port: where a repository's code and our tools run, away from everything else."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from shared.types import CommandResult

OutputSink = Callable[[str], Awaitable[None]]


@dataclass(frozen=True)
class Limits:
    """Bounds of one sandbox: megabytes, processes, bytes of output kept for one command."""

    memory_mb: int = 2048
    processes: int = 512
    disk_mb: int = 2048
    output_bytes: int = 2_000_000


@dataclass(frozen=True)
class SandboxSpec:
    """What to open: `workspace` is a host folder seen read-write at `Sandbox.root`; `readable` host folders are seen read-only."""

    workspace: Path
    task_id: str
    readable: Sequence[Path] = ()
    writable: Sequence[Path] = ()
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class Command:
    """One command. `cwd` is relative to the workspace; `environment` is added to the sandbox's own, which is built from nothing.

    `registries` lets this one command reach the package registries pip and npm are configured with, through the host-side proxy,
    and nothing else. `timeout_s` in seconds.
    """

    argv: Sequence[str]
    cwd: str = "."
    environment: Mapping[str, str] = field(default_factory=dict)
    timeout_s: float = 600.0
    stdin: bytes = b""
    registries: bool = False


@dataclass(frozen=True)
class Probe:
    """Whether a provider works on this machine, found out by running it."""

    works: bool
    reason: str
    next_step: str = ""


class Sandbox(Protocol):
    provider: str
    root: Path
    """The workspace's path as a command inside the sandbox sees it."""

    async def run(self, command: Command, on_output: OutputSink | None = None) -> CommandResult:
        """Run to its end or to a limit. The whole process tree is gone when this returns or is cancelled."""

    async def read(self, path: str) -> bytes:
        """A file of the workspace. `NotFoundError`, or `InvalidRequestError` for a path that leaves the workspace."""

    async def write(self, path: str, data: bytes) -> None: ...

    async def exists(self, path: str) -> bool: ...

    async def aclose(self) -> None:
        """Ends every process; the workspace folder stays (it belongs to the caller)."""


class SandboxProvider(Protocol):
    name: str
    isolated: bool
    """False only for the plain process."""

    async def probe(self) -> Probe: ...

    async def open(self, spec: SandboxSpec) -> Sandbox: ...

    async def sweep(self) -> int:
        """Remove what killed processes left behind (cgroups, mounts, processes); the number removed."""
