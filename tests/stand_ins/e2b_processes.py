"""The stand-in's `process.Process` service: real commands of one sandbox, spoken of as envd does."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import os
import signal
import time
from collections.abc import AsyncIterator
from typing import Any

from connectrpc.code import Code
from connectrpc.errors import ConnectError
from e2b.envd.process import process_pb as pb
from e2b.envd.process.process_connect import Process as ProcessService
from protobuf import Oneof

from tests.stand_ins.e2b_machine import USERS, Machine

_CHUNK = 32 << 10
_QUEUED = 64
Event = pb.ProcessEvent


class Running:
    """A command and whoever listens to it; what it says while nobody listens is lost, as in envd."""

    def __init__(self, config: pb.ProcessConfig, tag: str | None) -> None:
        self.config, self.tag = config, tag
        self.pid = 0
        self.stdin: int | None = None
        self.kill_at: float | None = None
        self.listeners: set[asyncio.Queue[Event | ConnectError]] = set()
        self.process: Any = None

    async def publish(self, event: Event) -> None:
        for listener in list(self.listeners):
            while listener in self.listeners:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(listener.put(event), 0.2)
                    break

    def cut(self, error: ConnectError) -> None:
        """Every stream ends with an error; the command goes on."""
        for listener in self.listeners:
            while listener.full():
                listener.get_nowait()
            listener.put_nowait(error)
        self.listeners.clear()


class Processes(ProcessService):
    """One sandbox's commands."""

    def __init__(self, machine: Machine, environment: dict[str, str]) -> None:
        self._machine, self._environment = machine, environment
        self.running: dict[int, Running] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def cut(self, code: Code, message: str) -> None:
        for running in self.running.values():
            running.cut(ConnectError(code, message))

    def stall(self) -> None:
        """Every stream falls silent for good."""
        for running in self.running.values():
            running.listeners.clear()

    async def start(self, request: pb.StartRequest, ctx: Any) -> AsyncIterator[pb.StartResponse]:
        if request.pty is not None:
            raise ConnectError(Code.UNIMPLEMENTED, "this stand-in has no terminals")
        queue: asyncio.Queue[Event | ConnectError] = asyncio.Queue(_QUEUED)
        running = await self._launch(request, user_of(ctx), queue)
        if ctx.request_headers.get("connect-timeout-ms"):
            running.kill_at = time.monotonic() + int(ctx.request_headers["connect-timeout-ms"]) / 1000
        yield pb.StartResponse(event=_event("start", Event.StartEvent(pid=running.pid)))
        async for event in self._listen(running, queue, ctx):
            yield pb.StartResponse(event=event)

    async def connect(self, request: pb.ConnectRequest, ctx: Any) -> AsyncIterator[pb.ConnectResponse]:
        running = self._find(request.process)
        queue: asyncio.Queue[Event | ConnectError] = asyncio.Queue(_QUEUED)
        running.listeners.add(queue)
        yield pb.ConnectResponse(event=_event("start", Event.StartEvent(pid=running.pid)))
        async for event in self._listen(running, queue, ctx):
            yield pb.ConnectResponse(event=event)

    async def _listen(self, running: Running, queue: asyncio.Queue[Event | ConnectError], ctx: Any) -> AsyncIterator[Event]:
        alive_every = float(ctx.request_headers.get("keepalive-ping-interval") or 90)
        try:
            while True:
                try:
                    event = await asyncio.wait_for(queue.get(), alive_every)
                except TimeoutError:
                    event = _event("keepalive", Event.KeepAlive())
                if isinstance(event, ConnectError):
                    raise event
                yield event
                if event.event is not None and event.event.field == "end":
                    return
        finally:
            running.listeners.discard(queue)

    async def _launch(self, request: pb.StartRequest, user: str, listener: asyncio.Queue[Event | ConnectError]) -> Running:
        config = request.process or pb.ProcessConfig()
        running = Running(config, request.tag if request.has_field("tag") else None)
        running.listeners.add(listener)
        cwd = config.cwd if config.has_field("cwd") and config.cwd else USERS[user][2]
        wanted = not request.has_field("stdin") or request.stdin
        source, feed = os.pipe() if wanted else (os.open(os.devnull, os.O_RDONLY), None)
        out, out_writing = os.pipe()
        err, err_writing = os.pipe()
        try:
            environment = {**self._environment, **config.envs}
            argv = [config.cmd, *config.args]
            running.process = await self._machine.spawn(argv, environment, cwd, user, (source, out_writing, err_writing))
        except OSError as error:
            for descriptor in (out, err, feed):
                if descriptor is not None:
                    os.close(descriptor)
            raise ConnectError(Code.INVALID_ARGUMENT, f"cwd '{cwd}' does not exist ({error.strerror})") from error
        finally:
            for descriptor in (source, out_writing, err_writing):
                os.close(descriptor)
        running.pid, running.stdin = running.process.inner, feed
        self.running[running.pid] = running
        task = asyncio.create_task(self._follow(running, out, err))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return running

    async def _follow(self, running: Running, out: int, err: int) -> None:
        pumps = [asyncio.create_task(self._pump(running, out, "stdout")), asyncio.create_task(self._pump(running, err, "stderr"))]
        ending = asyncio.create_task(running.process.wait())
        try:
            while not ending.done():
                await asyncio.wait([ending], timeout=None if running.kill_at is None else max(running.kill_at - time.monotonic(), 0))
                if not ending.done():
                    running.process.signal(signal.SIGKILL)
                    running.kill_at = None
            await asyncio.wait(pumps, timeout=1)
        finally:
            for pump in pumps:
                pump.cancel()
            self.running.pop(running.pid, None)
            close_stdin(running)
        kind, code = ending.result()
        status = f"exit status {code}" if kind == "exited" else f"signal: {signal.Signals(code).name.removeprefix('SIG').lower()}"
        if code == signal.SIGKILL and kind == "killed":
            status = "signal: killed"
        end = Event.EndEvent(exit_code=code if kind == "exited" else -1, exited=kind == "exited", status=status)
        if status != "exit status 0":
            end.error = status
        await running.publish(_event("end", end))

    async def _pump(self, running: Running, descriptor: int, kind: Any) -> None:
        reader = asyncio.StreamReader(limit=_CHUNK)
        file = os.fdopen(descriptor, "rb", buffering=0)
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), file)
        try:
            while data := await reader.read(_CHUNK):
                await running.publish(_event("data", Event.DataEvent(output=Oneof(kind, data))))
        finally:
            transport.close()

    async def list(self, request: pb.ListRequest, ctx: Any) -> pb.ListResponse:
        return pb.ListResponse(processes=[pb.ProcessInfo(pid=found.pid, config=found.config) for found in self.running.values()])

    async def update(self, request: pb.UpdateRequest, ctx: Any) -> pb.UpdateResponse:
        raise ConnectError(Code.UNIMPLEMENTED, "this stand-in has no terminals")

    async def stream_input(self, request: AsyncIterator[pb.StreamInputRequest], ctx: Any) -> pb.StreamInputResponse:
        running: Running | None = None
        async for message in request:
            value = message.event.value if message.event is not None else None
            if isinstance(value, pb.StreamInputRequest.StartEvent):
                running = self._find(value.process)
            elif isinstance(value, pb.StreamInputRequest.DataEvent):
                if running is None:
                    raise ConnectError(Code.INVALID_ARGUMENT, "the stream must begin with a start event")
                await self._feed(running, value.input)
        return pb.StreamInputResponse()

    async def send_input(self, request: pb.SendInputRequest, ctx: Any) -> pb.SendInputResponse:
        await self._feed(self._find(request.process), request.input)
        return pb.SendInputResponse()

    async def _feed(self, running: Running, given: pb.ProcessInput | None) -> None:
        if running.stdin is None:
            raise ConnectError(Code.FAILED_PRECONDITION, "stdin not enabled or closed")
        match given.input if given is not None else None:
            case Oneof(field="stdin", value=data):
                copy = os.dup(running.stdin)
                try:
                    await asyncio.to_thread(_write, copy, data)
                except OSError as error:
                    raise ConnectError(Code.INTERNAL, f"error writing to stdin of process '{running.pid}': {error.strerror}") from error
                finally:
                    os.close(copy)
            case _:
                raise ConnectError(Code.INVALID_ARGUMENT, "input must be stdin")

    async def send_signal(self, request: pb.SendSignalRequest, ctx: Any) -> pb.SendSignalResponse:
        running = self._find(request.process)
        if request.signal not in (pb.Signal.SIGKILL, pb.Signal.SIGTERM):
            raise ConnectError(Code.UNIMPLEMENTED, f"invalid signal: {request.signal}")
        with contextlib.suppress(ProcessLookupError):
            running.process.signal(signal.SIGKILL if request.signal == pb.Signal.SIGKILL else signal.SIGTERM)
        return pb.SendSignalResponse()

    async def close_stdin(self, request: pb.CloseStdinRequest, ctx: Any) -> pb.CloseStdinResponse:
        close_stdin(self._find(request.process))
        return pb.CloseStdinResponse()

    def _find(self, selector: pb.ProcessSelector | None) -> Running:
        match selector.selector if selector is not None else None:
            case Oneof(field="pid", value=pid) if pid in self.running:
                return self.running[pid]
            case Oneof(field="tag", value=tag):
                for running in self.running.values():
                    if running.tag == tag:
                        return running
        raise ConnectError(Code.NOT_FOUND, f"process with {selector.selector if selector else None} not found")


def _event(kind: Any, value: Any) -> Event:
    return Event(event=Oneof(kind, value))


def user_of(ctx: Any) -> str:
    kind, _, value = str(ctx.request_headers.get("authorization") or "").partition(" ")
    name = base64.b64decode(value).decode().partition(":")[0] if kind.lower() == "basic" else "user"
    if name not in USERS:
        raise ConnectError(Code.UNAUTHENTICATED, f"invalid username: '{name}'")
    return name


def close_stdin(running: Running) -> None:
    if running.stdin is not None:
        os.close(running.stdin)
        running.stdin = None


def _write(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
