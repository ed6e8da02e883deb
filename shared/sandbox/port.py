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
    """What to open: `workspace` is a host folder seen read-write at `Sandbox.root`.

    `readable` host folders are seen read-only, `writable` ones read-write, each at its own path. A sandbox elsewhere begins with copies of
    them all; `Sandbox.collect` brings back what changed. `labels` say whose it is, for whoever finds it after a crash (see `Keeper`).
    """

    workspace: Path
    task_id: str
    readable: Sequence[Path] = ()
    writable: Sequence[Path] = ()
    limits: Limits = field(default_factory=Limits)
    labels: Mapping[str, str] = field(default_factory=dict)


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


@dataclass(frozen=True)
class System:
    """The programs inside a provider's sandboxes.

    `python` makes test environments, `tool_python` runs our own tools and has their packages beside it. `identity` names the system:
    what was built in one serves in another only if their identities are equal. `host`: it sees this machine's programs, at their paths.
    """

    identity: str
    python: str
    python_version: tuple[int, int]
    tool_python: str
    host: bool = False


class Sandbox(Protocol):
    provider: str
    root: Path
    """The workspace's path as a command inside the sandbox sees it."""
    system: System

    async def run(self, command: Command, on_output: OutputSink | None = None) -> CommandResult:
        """Run to its end or to a limit. The whole process tree is gone when this returns or is cancelled."""

    async def read(self, path: str) -> bytes:
        """A file of the workspace. `NotFoundError`, or `InvalidRequestError` for a path that leaves the workspace."""

    async def write(self, path: str, data: bytes) -> None: ...

    async def exists(self, path: str) -> bool: ...

    async def collect(self) -> None:
        """Bring what changed into the host's workspace and writable folders; nothing to do where they are the same folders."""

    async def pause(self) -> None:
        """Freeze every process; files and memory stay. A paused sandbox goes on with its next call, or by `resume`."""

    async def resume(self) -> None: ...

    async def aclose(self) -> None:
        """Ends every process and removes the sandbox; the host's folders stay (they belong to the caller). `collect` first to keep work."""


class Leftover(Protocol):
    """A sandbox that its owner left behind."""

    labels: Mapping[str, str]

    async def fetch(self, folder: Path) -> None:
        """Make `folder`'s content that of the left workspace."""


class Keeper(Protocol):
    """The side that knows which work goes on, asked by a sweep."""

    async def owns(self, labels: Mapping[str, str]) -> bool:
        """Whether whoever opened a sandbox with these labels still works in it."""

    async def rescue(self, leftover: Leftover) -> None:
        """Save what is worth saving before the sandbox is removed."""


class SandboxProvider(Protocol):
    name: str
    isolated: bool
    """False only for the plain process."""

    async def probe(self) -> Probe: ...

    async def system(self) -> System:
        """What its sandboxes run with; found out once. `SandboxError` when it cannot be told."""

    async def open(self, spec: SandboxSpec) -> Sandbox:
        """`SandboxError` with what to do when it cannot be had.

        In a sandbox elsewhere every call may raise `SandboxGoneError` (it is no more: open a new one) or `SandboxUnreachableError` (it may
        still be there: try again).
        """

    async def sweep(self, keeper: Keeper | None = None) -> int:
        """Remove what killed processes left behind (cgroups, mounts, processes, containers); the number removed.

        A sandbox elsewhere is removed only if `keeper` disowns it, after it was rescued; without a keeper none is.
        """
