"""What a stand-in answers, turn by turn, and the loopback server that all providers share. It raises when its script runs out."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, TypeVar

Json = dict[str, Any]
S = TypeVar("S", bound="StandIn")


@dataclass(frozen=True)
class Call:
    """The model calls a tool."""

    name: str
    arguments: Json
    id: str = ""
    raw: str = ""
    """Sent instead of the arguments, as it stands: what a model writes need not be JSON."""

    @property
    def text(self) -> str:
        return self.raw or json.dumps(self.arguments)


@dataclass(frozen=True)
class Answer:
    """An answer in as many pieces as there are texts; `cached` of the input tokens came from the provider's cache."""

    texts: tuple[str, ...] = ()
    calls: tuple[Call, ...] = ()
    input_tokens: int = 100
    output_tokens: int = 20
    cached: int = 0
    silent_after: int | None = None
    """Say nothing more after so many events, and keep the connection."""
    cut_after: int | None = None
    """End the connection after so many events."""
    end_after: int | None = None
    """End the stream properly after so many events, though the answer is not whole."""
    fail_after: int | None = None
    """Report an overload inside the stream after so many events, and end it."""
    refusal: str = ""
    """The model declines in these words, as the provider's protocol has it (one has no place for words)."""
    without_usage: bool = False
    """The server does not tell what it counted, as many that speak OpenAI's protocol."""
    stop: str = ""
    """Another reason to stop than the usual one, in the provider's words."""


@dataclass(frozen=True)
class Refusal:
    """An HTTP error with the provider's own body; `kind` is the provider's word for it."""

    status: int
    kind: str = ""
    message: str = "no"
    headers: tuple[tuple[str, str], ...] = ()


Turn = Answer | Refusal
Say = Turn | Callable[[Json], Turn]
"""A turn, or a function that makes it of the request's body."""


class WireError(Exception):
    """The request is not what the provider's protocol allows."""

    def __init__(self, status: int, message: str, kind: str = "invalid_request_error") -> None:
        super().__init__(message)
        self.status, self.kind = status, kind


def expect(condition: object, message: str, status: int = 400) -> None:
    if not condition:
        raise WireError(status, message)


def is_object(text: str) -> bool:
    """Whether arguments are JSON: many servers that speak OpenAI's protocol refuse others, also in what was said before."""
    try:
        return isinstance(json.loads(text), dict)
    except ValueError:
        return False


@dataclass(frozen=True)
class Request:
    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes

    def json(self) -> Json:
        expect(self.headers.get("content-type", "").startswith("application/json"), "the body must be application/json", 415)
        parsed = json.loads(self.body)
        assert isinstance(parsed, dict)
        return parsed


@dataclass
class StandIn:
    """A provider: `bodies` holds every accepted request, `faults` what was wrong with the others. Subclasses speak the protocol."""

    key: str
    script: list[Say] = field(default_factory=list)
    models: tuple[str, ...] = ("big", "small")
    url: str = ""
    bodies: list[Json] = field(default_factory=list)
    faults: list[str] = field(default_factory=list)
    calls: int = 0
    _server: asyncio.Server | None = None
    _handlers: set[asyncio.Task[None]] = field(default_factory=set)

    async def start(self) -> None:
        """On a free loopback port; the next time on the same one."""
        port = int(self.url.rpartition(":")[2]) if self.url else 0
        self._server = await asyncio.start_server(self._connected, "127.0.0.1", port)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        """Every connection ends, and no new one is taken."""
        if self._server is not None:
            self._server.close()
        for handler in list(self._handlers):
            handler.cancel()
        await asyncio.gather(*self._handlers, return_exceptions=True)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._handlers.add(task)
        try:
            await self.serve(reader, writer)
        finally:
            self._handlers.discard(task)

    def say(self, *turns: Say) -> None:
        self.script.extend(turns)

    def next_turn(self, body: Json) -> Turn:
        self.bodies.append(body)
        if not self.script:
            raise WireError(400, "the script has run out")
        turn = self.script.pop(0)
        return turn(body) if callable(turn) else turn

    def handle(self, request: Request) -> tuple[int, Json | Iterator[bytes], Turn | None]:
        """Status, a JSON body or the stream's events, and the turn they come from. `WireError` for what the protocol forbids."""
        raise NotImplementedError

    def error_body(self, status: int, kind: str, message: str) -> Json:
        raise NotImplementedError

    def stream_error(self) -> bytes:
        """How the provider reports an overload once its answer has begun."""
        raise NotImplementedError

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._answer(await _read(reader), writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(self, request: Request, writer: asyncio.StreamWriter) -> None:
        self.calls += 1
        try:
            status, body, turn = self.handle(request)
        except WireError as error:
            if error.status != 401:
                self.faults.append(str(error))
            status, body, turn = error.status, self.error_body(error.status, error.kind, str(error)), None
        if isinstance(turn, Refusal):
            status, body = turn.status, self.error_body(turn.status, turn.kind, turn.message)
        headers = turn.headers if isinstance(turn, Refusal) else ()
        if isinstance(body, dict):
            await _whole(writer, status, json.dumps(body).encode(), headers)
        else:
            assert isinstance(turn, Answer)
            await _stream(writer, body, turn, self.stream_error())


async def _read(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = head[0].split(" ", 2)
    headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    body = await reader.readexactly(int(headers.get("content-length", "0")))
    path, _, query = target.partition("?")
    return Request(method, path, query, headers, body)


async def _whole(writer: asyncio.StreamWriter, status: int, body: bytes, headers: Iterable[tuple[str, str]]) -> None:
    fields = [("content-type", "application/json"), ("content-length", str(len(body))), ("connection", "close"), *headers]
    writer.write(_head(status, fields) + body)
    await writer.drain()


async def _stream(writer: asyncio.StreamWriter, events: Iterator[bytes], turn: Answer, error: bytes) -> None:
    writer.write(_head(200, [("content-type", "text/event-stream"), ("transfer-encoding", "chunked"), ("connection", "close")]))
    for number, event in enumerate(events):
        if number == turn.silent_after:
            await writer.drain()
            await asyncio.sleep(30)
        if number == turn.cut_after:
            await writer.drain()
            return
        if number == turn.end_after:
            break
        failed = number == turn.fail_after
        event = error if failed else event
        writer.write(b"%x\r\n%b\r\n" % (len(event), event))
        if failed:
            break
    writer.write(b"0\r\n\r\n")
    await writer.drain()


def _head(status: int, headers: Iterable[tuple[str, str]]) -> bytes:
    lines = [f"HTTP/1.1 {status} {HTTPStatus(status).phrase if status in set(HTTPStatus) else 'Overloaded'}"]
    return "\r\n".join([*lines, *(f"{name}: {value}" for name, value in headers), "", ""]).encode("latin-1")


@asynccontextmanager
async def serving(stand_in: S) -> AsyncIterator[S]:
    """The stand-in on a free loopback port, at `stand_in.url`. At the end nothing may be left of its script, nor any fault."""
    await stand_in.start()
    try:
        yield stand_in
    finally:
        await stand_in.stop()
    assert stand_in.faults == []
    assert stand_in.script == []
