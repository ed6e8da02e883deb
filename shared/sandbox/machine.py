"""The port below `RemoteSandbox`: a machine elsewhere (a container, a virtual machine) that can run one process of ours.

Everything goes over the stdin and stdout of that process, the runner (`shared/sandbox/inside`): commands, files, the way to the registries.
So an adapter needs to know nothing of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol


class Channel(Protocol):
    """The stdin and stdout of one process inside. `read` has one caller at a time, `write` too."""

    async def read(self) -> bytes:
        """Some bytes of its stdout, in order; b"" only once the process has ended.

        `SandboxUnreachableError` when the connection was lost and the process may live on; `SandboxGoneError` when the machine is no more.
        """

    async def write(self, data: bytes) -> None:
        """Into its stdin, whole, in order (up to about 1 MB). Errors as `read`; nothing is raised when the process has ended."""

    async def aclose(self) -> None:
        """Close its stdin and stop waiting for it; the runner then ends all its commands and itself. Never raises, never blocks long."""


class Machine(Protocol):
    """One machine, made for one sandbox, already running.

    Before `RemoteSandbox` is made, its adapter has seen to it that: `/workspace` (`WORKSPACE`) and every folder of `spec.writable` is there
    at its own path, empty, owned by the user that `start` runs as; every folder of `spec.readable` is there too, either holding what the
    host's holds (mounted), or empty, owned by the other user (`owner`), and then named in the `copied` argument of `open_remote`; `/tmp` is
    writable; no network is reached from inside; the machine ends by itself after `sandbox_ttl_s`.
    """

    text: bool
    """Stdin and stdout carry only UTF-8 text faithfully: the frames then travel as lines of base64."""
    bulk: bool
    """`put` and `get` move megabytes faster than a channel does."""

    async def start(self, argv: Sequence[str], environment: dict[str, str], *, owner: bool = False) -> Channel:
        """Start a process in `/` with exactly these arguments, the environment added to whatever there is.

        It runs as the user of commands, without any privilege; with `owner` as another user, who owns the folders that are copied in
        read-only and whom commands cannot signal. An argument may hold 20 kB. Its stderr is dropped.
        """

    async def put(self, source: Path, target: str) -> None:
        """Write a host file's bytes to a new file inside, readable by the user of commands. Called only if `bulk`."""

    async def get(self, source: str, target: Path, most: int) -> None:
        """The reverse, at most `most` bytes (`SandboxError` beyond). Called only if `bulk`."""

    async def look(self) -> None:
        """Return if the machine is there (running or paused); `SandboxGoneError` or `SandboxUnreachableError` within about 10 s."""

    async def pause(self) -> None:
        """Freeze every process. Doing it twice does no harm."""

    async def resume(self) -> None: ...

    async def remove(self) -> None:
        """End everything and remove the machine. One that is gone already is fine; `SandboxUnreachableError` if it cannot be told."""
