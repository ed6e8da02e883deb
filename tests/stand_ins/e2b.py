"""E2B's service (https://e2b.dev/docs) over loopback, for its own Python SDK: the control plane and, inside each sandbox, envd.

Strict about keys, tokens, fields and states. Commands really run, each sandbox being processes and folders of its own (`e2b_machine`).
Everything that came and went is kept in `exchanges`. What it cannot show: virtual machines, snapshots that outlive their host, HTTP/2.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import uvicorn
from connectrpc.code import Code

from tests.stand_ins.e2b_control import ControlPlane, Kept, Refused
from tests.stand_ins.e2b_files import Reply, serve_files

Mode = Literal["", "refuse", "hang", "503"]
_GONE = "The sandbox was not found"


class _Dropped(Exception):
    """The connection ends without an answer."""


@dataclass
class Exchange:
    """One request and what was answered; bodies as they travelled."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytearray = field(default_factory=bytearray)
    status: int = 0
    answer: bytearray = field(default_factory=bytearray)

    @property
    def name(self) -> str:
        return f"{self.method} {self.path}"


@dataclass
class Fault:
    """What befalls the next requests whose `METHOD path` matches: a refusal, some other body, or the work done but its answer lost."""

    pattern: str
    times: int
    status: int = 0
    message: str = ""
    headers: Sequence[tuple[str, str]] = ()
    lost: bool = False
    body: bytes | None = None


class E2BStandIn(ControlPlane):
    """`folder` holds the sandboxes' files; `readable` folders of the host belong to the template."""

    def __init__(self, folder: Path, readable: Sequence[Path] = ()) -> None:
        super().__init__(folder, readable)
        self.exchanges: list[Exchange] = []
        self.faults: list[Fault] = []
        self.errors: list[BaseException] = []
        self.gap_s = 0.0
        """How long after its making or resuming a sandbox cannot yet be reached, as happens at the real edge."""
        self.url = ""
        self._stopping = False
        self._mode: dict[str, Mode] = {"api": "", "envd": ""}
        self._loop: asyncio.AbstractEventLoop
        self._server: uvicorn.Server

    # what tests do

    def fail(self, pattern: str, status: int, message: str = "no", times: int = 1, headers: Sequence[tuple[str, str]] = ()) -> None:
        self.faults.append(Fault(pattern, times, status, message, headers))

    def lose(self, pattern: str, times: int = 1) -> None:
        """Do what is asked, but lose the answer."""
        self.faults.append(Fault(pattern, times, lost=True))

    def say(self, pattern: str, status: int, body: bytes, times: int = 1) -> None:
        """Answer with a body that is none of E2B's."""
        self.faults.append(Fault(pattern, times, status, body=body))

    def become(self, mode: Mode, part: Literal["api", "envd", "both"] = "both") -> None:
        """Unreachable in some way, or reachable again with "". Connections can only be refused for both parts."""
        assert mode != "refuse" or part == "both"
        self._call(lambda: self._become(mode, part))

    def kill(self, identifier: str) -> None:
        self._call(lambda: self.remove(self.sandboxes[identifier]))

    def expire(self, identifier: str) -> None:
        """Its time limit passes now."""
        self._call(lambda: self.end(self.sandboxes[identifier]))

    def cut(self) -> None:
        """Every open stream ends early, as when a proxy in between restarts."""
        message = "the connection to the sandbox ended before the stream completed"

        def every() -> None:
            for kept in self.sandboxes.values():
                kept.processes.cut(Code.UNAVAILABLE, message)

        self._call(every)

    def stall(self) -> None:
        """Every open stream falls silent, though it stays open."""

        def every() -> None:
            for kept in self.sandboxes.values():
                kept.processes.stall()

        self._call(every)

    def named(self, name: str) -> list[Exchange]:
        return [exchange for exchange in self.exchanges if re.fullmatch(name, exchange.name)]

    def everything(self) -> bytes:
        """All that entered and left, for looking through."""
        parts = [f"{one.name}?{one.query} {one.headers}".encode() + bytes(one.body) + bytes(one.answer) for one in list(self.exchanges)]
        return b"\n".join(parts)

    def _call(self, action: Callable[[], Any]) -> Any:
        async def run() -> Any:
            return action()

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(30)

    # the server

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        exchange = Exchange(scope["method"], scope["path"], scope["query_string"].decode("latin-1"), headers)
        self.exchanges.append(exchange)

        async def heard() -> Any:
            message = await receive()
            exchange.body += message.get("body", b"")
            return message

        async def said(message: Any) -> None:
            exchange.status = message.get("status", exchange.status)
            exchange.answer += message.get("body", b"")
            await send(message)

        try:
            await self._route(scope, exchange, heard, said)
        except _Dropped:
            self._drop(scope)
            await asyncio.sleep(0.05)
        except Refused as refused:
            await _answer(Reply.json(refused.status, {"code": refused.status, "message": refused.message}, refused.headers), said)
        except BaseException as error:
            if not self._stopping:
                self.errors.append(error)
                raise

    async def _route(self, scope: Any, exchange: Exchange, receive: Any, send: Any) -> None:
        inside = exchange.path in ("/health", "/files") or exchange.path.startswith(("/process.Process/", "/filesystem.Filesystem/"))
        while self._mode["envd" if inside else "api"] == "hang":
            await asyncio.sleep(0.02)
        if self._mode["envd" if inside else "api"] == "503":
            raise Refused(503, "upstream connect error or disconnect/reset before headers")
        fault = next((fault for fault in self.faults if fault.times and re.fullmatch(fault.pattern, exchange.name)), None)
        if fault is not None:
            fault.times -= 1
            if fault.body is not None:
                await _answer(Reply(fault.status, fault.body, [("content-type", "application/json")]), send)
                return
            if not fault.lost:
                raise Refused(fault.status, fault.message, fault.headers)
        if inside and exchange.path not in ("/health", "/files"):
            kept = self._inside(exchange)
            await kept.rpc[exchange.path.startswith("/filesystem")](scope, receive, _unsaid if fault is not None else send)
            if fault is not None:
                raise _Dropped
            return
        more = True
        while more:
            more = (await receive()).get("more_body", False)
        if exchange.path == "/health":
            self._find_inside(exchange)
            reply = Reply(204, b"")
        elif inside:
            kept = self._inside(exchange)
            reply = await serve_files(kept.machine, exchange.method, exchange.query, exchange.headers, bytes(exchange.body))
        else:
            reply = self.control(exchange.name, exchange.query, exchange.headers, bytes(exchange.body))
        if fault is not None:
            raise _Dropped
        await _answer(reply, send)

    def _find_inside(self, exchange: Exchange) -> Kept:
        identifier = exchange.headers.get("e2b-sandbox-id", "")
        if exchange.headers.get("e2b-sandbox-port") != "49983":
            raise Refused(400, "Invalid sandbox port")
        kept = self.sandboxes.get(identifier)
        if kept is not None and kept.state == "paused" and kept.asked.get("autoResume", {}).get("enabled"):
            self.resume(kept, kept.asked.get("timeout", 300))
        if kept is None or kept.state == "paused" or time.time() < kept.started + self.gap_s:
            raise Refused(502, _GONE)
        return kept

    def _inside(self, exchange: Exchange) -> Kept:
        kept = self._find_inside(exchange)
        if exchange.headers.get("x-access-token") != kept.token:
            raise Refused(401, "unauthorized access, please provide a valid access token or method signing if applicable")
        return kept

    # its life

    def _drop(self, scope: Any) -> None:
        for connection in list(self._server.server_state.connections):
            if getattr(connection, "client", None) == scope["client"]:
                connection.transport.abort()

    def _become(self, mode: Mode, part: str) -> None:
        before = self._mode["api"]
        for name in ("api", "envd"):
            if part in ("both", name):
                self._mode[name] = mode
        if mode == "refuse":
            for server in self._server.servers:
                server.close()
            for connection in list(self._server.server_state.connections):
                connection.transport.abort()
        elif before == "refuse":
            self._tasks = [asyncio.create_task(self._listen())]

    async def _listen(self) -> None:
        config, state = self._server.config, self._server.server_state

        def protocol() -> Any:
            made: Any = config.http_protocol_class
            return made(config=config, server_state=state, app_state={})

        port = int(self.url.rpartition(":")[2])
        self._server.servers = [await asyncio.get_running_loop().create_server(protocol, "127.0.0.1", port)]

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(0.05)
            for kept in list(self.sandboxes.values()):
                if kept.state == "running" and kept.end_at <= time.time():
                    self.end(kept)

    async def _serve(self, ready: threading.Event) -> None:
        self._loop = asyncio.get_running_loop()
        self._loop.set_default_executor(ThreadPoolExecutor(64))
        config = uvicorn.Config(self, port=0, log_config=None, lifespan="off", http="h11", ws="none", access_log=False)
        self._server = uvicorn.Server(config)
        self._server.force_exit = False
        serving = asyncio.create_task(self._server.serve())
        while not self._server.started:
            await asyncio.sleep(0.005)
        self.url = f"http://127.0.0.1:{self._server.servers[0].sockets[0].getsockname()[1]}"
        watching = asyncio.create_task(self._watch())
        ready.set()
        await serving
        watching.cancel()

    def _stop(self) -> None:
        self._stopping = True
        for kept in list(self.sandboxes.values()):
            self.remove(kept)
        self._server.should_exit = self._server.force_exit = True
        for connection in list(self._server.server_state.connections):
            connection.transport.abort()


async def _unsaid(message: Any) -> None:
    """An answer that nobody hears."""


async def _answer(reply: Reply, send: Any) -> None:
    headers = [(name.encode(), value.encode()) for name, value in reply.headers]
    if reply.status != 204:
        headers.append((b"content-length", b"%d" % len(reply.body)))
    await send({"type": "http.response.start", "status": reply.status, "headers": headers})
    await send({"type": "http.response.body", "body": reply.body})


@contextlib.contextmanager
def open_e2b(folder: Path, readable: Sequence[Path] = ()) -> Iterator[E2BStandIn]:
    """Served from a thread of its own until the end; whatever went wrong inside is raised then."""
    stand_in = E2BStandIn(folder, readable)
    ready = threading.Event()
    thread = threading.Thread(target=lambda: asyncio.run(stand_in._serve(ready)), daemon=True)
    thread.start()
    assert ready.wait(20), "the stand-in did not start"
    try:
        yield stand_in
    finally:
        stand_in._call(stand_in._stop)
        thread.join(20)
    for error in stand_in.errors:
        if not isinstance(error, asyncio.CancelledError):
            raise error
