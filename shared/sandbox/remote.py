"""A sandbox on a machine elsewhere: everything that does not depend on whose machine it is.

An adapter makes a `Machine` for a spec (see `shared.sandbox.machine` for what it must find prepared) and calls `open_remote`. Inside, one
process of ours, the runner, starts the commands, moves files and lets the registries through; it is sent over its own stdin.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from pathlib import Path, PurePosixPath

from shared.errors import InvalidRequestError, PersevereError, SandboxError
from shared.sandbox import bundle, copying
from shared.sandbox.connection import Connection, Exchange, RunnerEndedError
from shared.sandbox.copying import Copy
from shared.sandbox.egress import EgressProxy, open_egress
from shared.sandbox.environment import NO_REGISTRIES, build_environment
from shared.sandbox.inside.archive import Bounds
from shared.sandbox.inside.frames import ENDED
from shared.sandbox.inside.processes import identity
from shared.sandbox.limits import CONNECTIONS
from shared.sandbox.machine import Machine
from shared.sandbox.port import Command, Limits, OutputSink, SandboxSpec, System
from shared.sandbox.registry_config import load_registries
from shared.sandbox.remote_execution import RemoteExecution
from shared.types import CommandResult

WORKSPACE = PurePosixPath("/workspace")
HOME, TEMPORARY = "/tmp/home", "/tmp"
_PORT = 8378
_CLOSING_S = 20.0
_MEGABYTE = 1024 * 1024
Accept = Callable[[Exchange], Awaitable[None]]


class RemoteSandbox:
    """See `Sandbox`. Made by `open_remote`."""

    def __init__(self, provider: str, spec: SandboxSpec, machine: Machine, system: System) -> None:
        self.provider, self.system = provider, system
        self.root = Path(WORKSPACE)
        self._spec, self._machine = spec, machine
        self._copies = [Copy(spec.workspace, str(WORKSPACE)), *(Copy(folder, str(folder)) for folder in spec.writable)]
        self._baseline = 0
        self._connection: Connection | None = None
        self._connecting = asyncio.Lock()
        self._running: set[RemoteExecution] = set()
        self._turns = _Turns()
        self._paused = self._closed = False
        self._egress: EgressProxy | None = None
        self._carried = asyncio.Semaphore(CONNECTIONS)
        self._resources = contextlib.AsyncExitStack()

    async def begin(self, copied: Sequence[Path]) -> None:
        """Copy in what a command shall see."""
        for folder in copied:
            other = await connect(self._machine, self.system.tool_python, self._refuse, owner=True)
            try:
                await copying.send(self._machine, other, Copy(folder, str(folder)), readable=True)
            finally:
                await other.aclose()
        connection = await self._connect()
        for copy in self._copies:
            await copying.send(self._machine, connection, copy)
            copy.seen = await copying.look(connection, copy.inside)
        result, _ = await connection.call(self._limits())
        self._baseline = int(result.get("used", 0))

    async def run(self, command: Command, on_output: OutputSink | None = None) -> CommandResult:
        """See `Sandbox.run`. A command that may reach the registries runs alone: no other shall reach them through its open port."""
        self._check(command)
        async with self._turns.take(alone=command.registries), contextlib.AsyncExitStack() as stack:
            connection = await self._awake()
            network = NO_REGISTRIES
            if command.registries:
                network = (await self._open_registries()).environment(_PORT)
                await stack.enter_async_context(_listening(connection))
            execution = RemoteExecution(connection, self._spec.limits, on_output)
            self._running.add(execution)
            try:
                return await execution.run(self._describe(command, network), command.stdin, command.timeout_s)
            finally:
                self._running.discard(execution)

    async def read(self, path: str) -> bytes:
        _, data = await self._call({"kind": "read", "path": path})
        return data

    async def write(self, path: str, data: bytes) -> None:
        await self._call({"kind": "write", "path": path}, data)

    async def exists(self, path: str) -> bool:
        result, _ = await self._call({"kind": "exists", "path": path})
        return bool(result.get("value"))

    async def collect(self) -> None:
        """See `Sandbox.collect`. The host's folders change only once everything has arrived, and never beyond the limits."""
        connection = await self._awake()
        most = self._baseline + self._spec.limits.disk_mb * _MEGABYTE * 9 // 8 + 16 * _MEGABYTE
        bounds = Bounds(most, copying.MOST_ENTRIES)
        for copy in self._copies:
            await copying.fetch(self._machine, connection, copy, bounds)

    async def pause(self) -> None:
        if self._connection is not None:
            self._connection.frozen = True
        self._paused = True
        await self._machine.pause()

    async def resume(self) -> None:
        if self._paused:
            await self._machine.resume()
            self._paused = False
            if self._connection is not None:
                self._connection.frozen = False

    async def aclose(self) -> None:
        """Ends every process and removes the machine. One that cannot be reached is left to its own time limit and to a sweep."""
        self._closed = True
        for execution in self._running:
            execution.stop("cancelled")
        with contextlib.suppress(SandboxError):
            await self.resume()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_CLOSING_S):
                while self._running:
                    await asyncio.sleep(0.005)
        if self._connection is not None:
            await self._connection.aclose()
        await self._resources.aclose()
        with contextlib.suppress(SandboxError):
            await self._machine.remove()

    async def _call(self, spec: dict[str, str], data: bytes = b"") -> tuple[dict[str, object], bytes]:
        """An operation on files, which may be done twice: again if something inside ended the runner meanwhile."""
        spec = {"root": str(WORKSPACE), **spec}
        try:
            return await (await self._awake()).call(spec, data)
        except RunnerEndedError:
            return await (await self._awake()).call(spec, data)

    async def _awake(self) -> Connection:
        if self._closed:
            raise SandboxError("The sandbox is closed.", "Open a new one.")
        await self.resume()
        return await self._connect()

    async def _connect(self) -> Connection:
        """The runner, or a new one where it was lost: the machine goes on with its files, while what ran in it is ended."""
        async with self._connecting:
            if self._connection is None or self._connection.error is not None:
                first = self._connection is None
                if self._connection is not None:
                    await self._connection.aclose()
                self._connection = await connect(self._machine, self.system.tool_python, self._accept)
                if not first:
                    await self._connection.call(self._limits())
            return self._connection

    def _limits(self) -> dict[str, object]:
        limits: Limits = self._spec.limits
        return {
            "kind": "limits",
            "memory": limits.memory_mb * _MEGABYTE,
            "processes": limits.processes,
            "disk": limits.disk_mb * _MEGABYTE,
            "folders": [copy.inside for copy in self._copies],
            "baseline": self._baseline or None,
        }

    def _describe(self, command: Command, network: dict[str, str]) -> dict[str, object]:
        return {
            "kind": "run",
            "argv": list(command.argv),
            "root": str(WORKSPACE),
            "cwd": command.cwd,
            "environment": build_environment(HOME, TEMPORARY, {**network, **command.environment}),
            "stdin": bool(command.stdin),
            "file_bytes": self._spec.limits.disk_mb * _MEGABYTE,
        }

    def _check(self, command: Command) -> None:
        if self._closed:
            raise SandboxError("The sandbox is closed.", "Open a new one.")
        if not command.argv or any("\0" in part for part in (*command.argv, *command.environment, *command.environment.values())):
            raise InvalidRequestError("A command is empty or has a zero byte.")

    async def _open_registries(self) -> EgressProxy:
        if self._egress is None:
            registries = await load_registries()
            self._egress = await self._resources.enter_async_context(open_egress(registries, inner_port=_PORT))
        return self._egress

    async def _accept(self, exchange: Exchange) -> None:
        """A connection from inside: on to the proxy, which knows the registries and nothing else."""
        if self._egress is None:
            await exchange.stop()
            return
        async with self._carried:
            await self._carry(exchange, str(self._egress.socket))

    async def _carry(self, exchange: Exchange, proxy: str) -> None:
        reader, writer = await asyncio.open_unix_connection(proxy)
        answering = asyncio.create_task(_answer(reader, exchange))
        ended = False
        try:
            async for kind, data in exchange.output():
                if ended:
                    continue
                if ended := kind == ENDED:
                    writer.write_eof()
                else:
                    writer.write(data)
                    await writer.drain()
        finally:
            answering.cancel()
            writer.close()

    async def _refuse(self, exchange: Exchange) -> None:
        await exchange.stop()


async def _answer(reader: asyncio.StreamReader, exchange: Exchange) -> None:
    with contextlib.suppress(PersevereError, OSError):
        while data := await reader.read(65536):
            await exchange.send(data)
        await exchange.end()


@contextlib.asynccontextmanager
async def _listening(connection: Connection) -> AsyncIterator[None]:
    exchange = await connection.open({"kind": "listen", "port": _PORT})
    arrived = exchange.output()
    try:
        await anext(arrived)
        yield
    finally:
        with contextlib.suppress(PersevereError):
            await exchange.stop()
            async for _ in arrived:
                pass


class _Turns:
    """Many at once, or one alone."""

    def __init__(self) -> None:
        self._changed = asyncio.Condition()
        self._number = 0
        self._alone = False

    @contextlib.asynccontextmanager
    async def take(self, *, alone: bool) -> AsyncIterator[None]:
        async with self._changed:
            await self._changed.wait_for(lambda: not self._alone and not (alone and self._number))
            self._number, self._alone = self._number + 1, alone
        try:
            yield
        finally:
            self._number, self._alone = self._number - 1, False
            async with self._changed:
                self._changed.notify_all()


async def connect(machine: Machine, python: str, accept: Accept, *, owner: bool = False) -> Connection:
    """Start a runner and wait for its word. With `owner` it only copies; otherwise it ends whatever an earlier one left."""
    channel = await machine.start(bundle.start_arguments(python), {}, owner=owner)
    connection = Connection(machine, channel, accept)
    options = {"text": machine.text, "host": identity(), "take_over": not owner, "home": TEMPORARY if owner else HOME}
    try:
        await connection.begin(bundle.first_lines(options))
    except BaseException:
        await connection.aclose()
        raise
    return connection


async def open_remote(provider: str, spec: SandboxSpec, machine: Machine, system: System, copied: Sequence[Path] = ()) -> RemoteSandbox:
    """The sandbox in a prepared machine, with the host's folders copied in; the machine is removed if that fails.

    `spec` comes from `local.check_spec`; `copied` are those of its readable folders that are not mounted.
    """
    sandbox = RemoteSandbox(provider, spec, machine, system)
    try:
        await sandbox.begin(copied)
    except BaseException:
        await asyncio.shield(sandbox.aclose())
        raise
    return sandbox
