"""The Docker engine as docker-py reaches it (`DOCKER_HOST`), called in threads of its own, its errors told in our words."""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from shared.errors import PersevereError, SandboxError, SandboxGoneError, SandboxUnreachableError

if TYPE_CHECKING:
    import docker

T = TypeVar("T")
_TIMEOUT_S = 30
_LOOK_S = 8
_SETTLE_S = 0.4
_CHUNK = 1024 * 1024
_HEAD = struct.Struct(">BxxxI")
_STDOUT = 1
START = "Start Docker, or say where it is with DOCKER_HOST."


class Engine:
    """One client for all sandboxes of a provider. Threads of its own: an engine that hangs holds up nothing else."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(max_workers=24, thread_name_prefix="docker")
        self._clients: dict[int, docker.DockerClient] = {}
        self._connecting = threading.Lock()

    async def call(self, what: Callable[[Any], T], timeout_s: int = _TIMEOUT_S) -> T:
        """`what(api)` with the low-level client. SandboxGoneError when the engine knows no such container, SandboxUnreachableError when
        it does not answer, SandboxError with its own words otherwise.
        """

        def work() -> T:
            return what(self._client(timeout_s).api)

        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work)
        except Exception as error:
            raise translate(error) from error

    async def look(self, container: str) -> None:
        """As `Machine.look`."""
        found = await self.call(lambda api: api.inspect_container(container), _LOOK_S)
        state = found.get("State", {})
        if not state.get("Running"):
            reason = "for lack of memory" if state.get("OOMKilled") else f"with exit code {state.get('ExitCode')}"
            raise SandboxGoneError(f"The sandbox's container ended {reason}.", "The work begins again in a new one.")

    def _client(self, timeout_s: int) -> docker.DockerClient:
        """Made at the first call. Each call has a connection of its own: an engine that was started again knows no old ones."""
        _reach()
        with self._connecting:
            if timeout_s not in self._clients:
                import docker

                client = docker.from_env(timeout=timeout_s)
                client.api.headers["Connection"] = "close"
                self._clients[timeout_s] = client
            return self._clients[timeout_s]


def _reach() -> None:
    """OSError at once where the engine's local socket cannot be connected to (docker-py would leave its own socket open)."""
    path = os.environ.get("DOCKER_HOST", "").strip() or "unix:///var/run/docker.sock"
    if path.startswith("unix://") and hasattr(socket, "AF_UNIX"):
        with socket.socket(socket.AF_UNIX) as trial:
            trial.settimeout(_LOOK_S)
            trial.connect(path.removeprefix("unix://"))


def translate(error: Exception) -> PersevereError:
    """What docker-py or its transport raised, as one of ours."""
    import docker.errors
    import requests

    if isinstance(error, PersevereError):
        return error
    if isinstance(error, docker.errors.ImageNotFound):
        return SandboxError(
            f"The engine has no such image: {_words(error)}.", "docker build -t persevere-sandbox -f compose/sandbox/Dockerfile ."
        )
    if isinstance(error, docker.errors.NotFound):
        return SandboxGoneError("The sandbox's container is no more.", "The work begins again in a new one.")
    if isinstance(error, docker.errors.APIError):
        text = _words(error)
        if error.status_code == 409 and ("is not running" in text or "marked for removal" in text):
            return SandboxGoneError("The sandbox's container is no more.", "The work begins again in a new one.")
        if error.status_code is not None and error.status_code >= 500 and "context deadline exceeded" in text:
            return SandboxUnreachableError("The Docker engine does not answer.", START)
        return SandboxError(f"Docker refused: {text}.", "See what the engine says: docker info.")
    if "ermission denied" in str(error) or "PermissionError" in str(error):
        next_step = "Put yourself into the group docker, or set DOCKER_HOST to an engine of your own (rootless Docker)."
        return SandboxUnreachableError("This user may not use the Docker engine's socket.", next_step)
    if isinstance(error, docker.errors.DockerException | requests.RequestException | OSError | EOFError):
        return SandboxUnreachableError("The Docker engine does not answer.", START)
    return SandboxError(f"The Docker client failed: {type(error).__name__}.", "See what the engine says: docker info.")


def _words(error: Any) -> str:
    return str(error.explanation or error).strip().rstrip(".")[:300]


class ExecChannel:
    """See `Channel`: one exec of a container, over the hijacked connection docker-py gives."""

    def __init__(self, engine: Engine, container: str, identifier: str, connection: Any) -> None:
        self._engine, self._container, self._identifier = engine, container, identifier
        self._kept = connection
        raw = getattr(connection, "_sock", connection)
        self._socket: socket.socket = raw
        self._socket.settimeout(None)
        self._turn = threading.Lock() if isinstance(raw, ssl.SSLSocket) else contextlib.nullcontext()
        self._loop = asyncio.get_running_loop()
        self._arrived: asyncio.Queue[bytes] = asyncio.Queue()
        self._closed = False
        self._rest = bytearray()
        self._thread = threading.Thread(target=self._read_all, name="docker-exec", daemon=True)
        self._writers = ThreadPoolExecutor(max_workers=1, thread_name_prefix="docker-stdin")
        self._thread.start()

    async def read(self) -> bytes:
        if data := await self._arrived.get():
            return data
        self._arrived.put_nowait(b"")
        if not self._closed:
            await self._find_out()
        return b""

    async def write(self, data: bytes) -> None:
        try:
            await self._loop.run_in_executor(self._writers, self._write, data)
        except (OSError, RuntimeError) as error:
            await self._find_out()
            if self._closed:
                raise SandboxUnreachableError("The connection to the sandbox was closed.", "Try again.") from error

    async def aclose(self) -> None:
        self._closed = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        await asyncio.to_thread(self._thread.join, 2.0)
        self._writers.shutdown(wait=False, cancel_futures=True)
        for opened in (self._kept, self._socket):
            with contextlib.suppress(OSError):
                opened.close()

    async def _find_out(self) -> None:
        """Return if the process has ended; otherwise raise why it cannot be heard any more.

        The end of a container is seen by its processes before the engine knows of it.
        """
        end = time.monotonic() + 1.0
        while True:
            found = await self._engine.call(lambda api: api.exec_inspect(self._identifier), _LOOK_S)
            if not found.get("Running"):
                await asyncio.sleep(_SETTLE_S)
                return await self._engine.look(self._container)
            if time.monotonic() > end:
                raise SandboxUnreachableError("The connection to the sandbox was lost.", "Try again.")
            await asyncio.sleep(0.05)

    def _write(self, data: bytes) -> None:
        with self._turn:
            self._socket.sendall(data)

    def _read_all(self) -> None:
        """In a thread, until the connection ends."""
        readable = select.poll()
        readable.register(self._socket, select.POLLIN)
        data = b"start"
        while data:
            try:
                if not (isinstance(self._socket, ssl.SSLSocket) and self._socket.pending()):
                    readable.poll()
                with self._turn:
                    data = self._socket.recv(_CHUNK)
            except (OSError, ValueError):
                data = b""
            found = self._unwrap(data) if data else b""
            if found or not data:
                with contextlib.suppress(RuntimeError):
                    self._loop.call_soon_threadsafe(self._arrived.put_nowait, found)

    def _unwrap(self, data: bytes) -> bytes:
        """The process's stdout out of the engine's own frames."""
        self._rest += data
        found = bytearray()
        start = 0
        while len(self._rest) - start >= _HEAD.size:
            kind, size = _HEAD.unpack_from(self._rest, start)
            if len(self._rest) - start - _HEAD.size < size:
                break
            start += _HEAD.size
            if kind == _STDOUT:
                found += self._rest[start : start + size]
            start += size
        del self._rest[:start]
        return bytes(found)


async def open_exec(engine: Engine, container: str, argv: list[str], environment: dict[str, str], user: str) -> ExecChannel:
    """Start a process in a running container, its stdin and stdout connected."""

    def start(api: Any) -> tuple[str, Any]:
        identifier = api.exec_create(
            container, argv, stdin=True, stdout=True, stderr=False, user=user, environment=environment, workdir="/"
        )["Id"]
        return identifier, api.exec_start(identifier, socket=True)

    identifier, connection = await engine.call(start)
    return ExecChannel(engine, container, identifier, connection)
