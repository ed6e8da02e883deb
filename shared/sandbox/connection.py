"""Our end of the runner inside: many operations at once over one channel."""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from shared.errors import InvalidRequestError, NotFoundError, PersevereError, SandboxError
from shared.sandbox.inside.frames import (
    CONNECTION,
    DATA,
    ENDED,
    HELLO,
    LARGEST,
    OPEN,
    PART,
    RESULT,
    ROOM,
    STOP,
    WINDOW,
    Decoder,
    Frame,
    encode,
)
from shared.sandbox.machine import Channel, Machine

_HELLO_S = 60.0
_QUIET_S = 3.0
_ANSWER_S = 8.0
_TUNNEL = 1 << 31


class RunnerEndedError(SandboxError):
    """The runner inside is no more, while its machine is: something inside ended it. Another can be started."""


class Exchange:
    """One operation: what goes in, what comes out, and its result."""

    def __init__(self, connection: Connection, number: int) -> None:
        self._connection, self.number = connection, number
        self._room = WINDOW
        self._more_room = asyncio.Event()
        self._arrived: asyncio.Queue[tuple[bytes, bytes]] = asyncio.Queue()
        self.result: dict[str, Any] | None = None
        self.error: Exception | None = None

    async def send(self, data: bytes) -> None:
        """Input, in pieces, as the other end makes room for them; dropped once the operation is over."""
        view = memoryview(data)
        while view and self.result is None:
            while self._room <= 0 and self.result is None:
                self._more_room.clear()
                await self._more_room.wait()
                self._check()
            piece = view[: min(LARGEST, self._room)]
            self._room -= len(piece)
            await self._connection.write(Frame(DATA, self.number, bytes(piece)))
            view = view[len(piece) :]

    async def end(self) -> None:
        """There is no more input."""
        await self._connection.write(Frame(ENDED, self.number))

    async def stop(self) -> None:
        await self._connection.write(Frame(STOP, self.number))

    async def output(self) -> AsyncIterator[tuple[bytes, bytes]]:
        """(kind, bytes) as they come, to the end of the operation. The runner's or the channel's error is raised in their place."""
        owed: dict[bytes, int] = {}
        while True:
            kind, data = await self._arrived.get()
            if kind == RESULT:
                self._check()
                return
            yield kind, data
            owed[kind] = owed.get(kind, 0) + len(data)
            if owed[kind] >= WINDOW // 4:
                await self._connection.write(Frame(ROOM, self.number, struct.pack(">cI", kind, owed.pop(kind))))

    def arrive(self, frame: Frame) -> None:
        if frame.kind == ROOM:
            self._room += int(struct.unpack(">cI", frame.payload)[1])
            self._more_room.set()
        elif frame.kind == RESULT:
            self.finish(_object(frame.payload), None)
        else:
            self._arrived.put_nowait((frame.kind, frame.payload))

    def finish(self, result: dict[str, Any], error: Exception | None) -> None:
        self.result, self.error = result, error
        self._more_room.set()
        self._arrived.put_nowait((RESULT, b""))

    def _check(self) -> None:
        if self.error is not None:
            raise self.error
        if self.result is not None and "code" in self.result:
            raise _build_error(self.result)


class Connection:
    """One runner. `accept` is called with each connection that something inside makes to the port being listened to."""

    def __init__(self, machine: Machine, channel: Channel, accept: Callable[[Exchange], Awaitable[None]]) -> None:
        self._machine, self._channel, self._accept = machine, channel, accept
        self._decoder = Decoder(machine.text)
        self._exchanges: dict[int, Exchange] = {}
        self._last = 0
        self._writing = asyncio.Lock()
        self._hello: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._tasks: set[asyncio.Task[None]] = set()
        self._heard = asyncio.Event()
        self.frozen = False
        self.error: Exception | None = None

    async def begin(self, first: bytes) -> dict[str, Any]:
        """Send what starts the runner; what it says of itself."""
        self._spawn(self._read())
        async with self._writing:
            await self._channel.write(first)
        try:
            hello = await asyncio.wait_for(self._hello, _HELLO_S)
        except TimeoutError:
            await self.aclose()
            await self._machine.look()
            raise SandboxError("The sandbox's runner did not start.", "Python 3.11 or newer must be in the sandbox's image.") from None
        self._spawn(self._ask())
        return hello

    async def open(self, spec: dict[str, Any]) -> Exchange:
        """Start an operation; see `inside.runner`."""
        if self.error is not None:
            raise self.error
        self._last += 1
        exchange = self._exchanges[self._last] = Exchange(self, self._last)
        text = json.dumps(spec).encode()
        try:
            while len(text) > LARGEST:
                await self.write(Frame(PART, exchange.number, text[:LARGEST]))
                text = text[LARGEST:]
            await self.write(Frame(OPEN, exchange.number, text))
        except asyncio.CancelledError:
            self._spawn(self.abandon(exchange))
            raise
        return exchange

    async def call(self, spec: dict[str, Any], data: bytes = b"") -> tuple[dict[str, Any], bytes]:
        """An operation from beginning to end, with its input; its result and what it gave out."""
        exchange = await self.open(spec)
        try:
            if spec["kind"] not in ("ping", "limits"):
                if data:
                    await exchange.send(data)
                await exchange.end()
            found = [part async for _, part in exchange.output()]
        except BaseException:
            await self.abandon(exchange)
            raise
        return exchange.result or {}, b"".join(found)

    async def abandon(self, exchange: Exchange) -> None:
        """Stop an operation nobody waits for any more."""
        if exchange.result is None:
            with contextlib.suppress(PersevereError):
                await exchange.stop()

    async def write(self, frame: Frame) -> None:
        data = encode(frame, self._machine.text)
        async with self._writing:
            if self.error is not None:
                raise self.error
            try:
                await self._channel.write(data)
            except PersevereError as error:
                self._fail(error)
                raise

    async def aclose(self) -> None:
        """The runner sees the end of its input and ends everything below it."""
        self._fail(SandboxError("The sandbox is closed.", "Open a new one."))
        await self._channel.aclose()
        for task in self._tasks - {asyncio.current_task()}:
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task

    async def _read(self) -> None:
        try:
            while data := await self._channel.read():
                self._heard.set()
                for frame in self._decoder.feed(data):
                    self._handle(frame)
            self._fail(RunnerEndedError("Something in the sandbox ended its runner."))
        except (ValueError, struct.error, KeyError, TypeError):
            self._fail(RunnerEndedError("The sandbox's runner answered with something it would never say."))
        except PersevereError as error:
            self._fail(error)

    def _handle(self, frame: Frame) -> None:
        if frame.kind == HELLO and not self._hello.done():
            self._hello.set_result(_object(frame.payload))
        elif frame.kind == CONNECTION and frame.number >= _TUNNEL and frame.number not in self._exchanges:
            exchange = self._exchanges[frame.number] = Exchange(self, frame.number)
            self._spawn(self._serve(exchange))
        elif frame.number in self._exchanges:
            self._exchanges[frame.number].arrive(frame)
            if frame.kind == RESULT:
                del self._exchanges[frame.number]

    async def _serve(self, exchange: Exchange) -> None:
        with contextlib.suppress(PersevereError, OSError):
            await self._accept(exchange)

    def _fail(self, error: Exception) -> None:
        if self.error is None:
            self.error = error
            self._spawn(self._channel.aclose())
        if not self._hello.done():
            self._hello.set_exception(self.error)
            self._hello.exception()
        for exchange in self._exchanges.values():
            exchange.finish({}, self.error)
        self._exchanges.clear()

    async def _ask(self) -> None:
        """While something is under way and nothing is heard: is the runner there? Is the machine?"""
        while self.error is None:
            self._heard.clear()
            if await self._listen(_QUIET_S) or not self._exchanges or self.frozen:
                continue
            try:
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self.open({"kind": "ping"}), _ANSWER_S)
                if not await self._listen(_ANSWER_S) and not self.frozen:
                    await self._machine.look()
                    if not await self._listen(_ANSWER_S) and not self.frozen:
                        self._fail(RunnerEndedError("The sandbox's runner does not answer: something in it holds it up."))
            except PersevereError as error:
                self._fail(error)

    async def _listen(self, seconds: float) -> bool:
        try:
            await asyncio.wait_for(self._heard.wait(), seconds)
        except TimeoutError:
            return False
        return True

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _object(payload: bytes) -> dict[str, Any]:
    found = json.loads(payload)
    if not isinstance(found, dict):
        raise ValueError("an answer is no object")
    return found


def _build_error(answer: dict[str, Any]) -> PersevereError:
    kinds: dict[str, type[PersevereError]] = {"invalid_request": InvalidRequestError, "not_found": NotFoundError}
    return kinds.get(str(answer["code"]), SandboxError)(str(answer.get("message", "")), str(answer.get("next_step", "")))
