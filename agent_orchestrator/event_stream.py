"""The answer that is a stream of server-sent events: heartbeats, the end when the client leaves, no waiting for one that does not read."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from typing import Any

from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from shared.background import end_task

PING_S = 15.0
SEND_TIMEOUT_S = 30.0
TICK_S = 5.0
ABORT = "persevere.abort"
"""Extension of a scope: a function that drops the connection with all that is still to be sent."""

_PING = b": ping\n\n"
_logger = logging.getLogger("persevere.http")


class EventStream(Response):
    """Sends what `content` yields, each piece one or more whole events as bytes. Closes `content` when the client is gone.

    A stream costs two tasks and a timer that events do not touch. sse-starlette's response costs five tasks and a cancel scope a piece
    (at 1,000 streams 42 µs of the server and 47 kB instead of 32 µs and 32 kB), and cannot drop a client that has not taken all.
    """

    media_type = "text/event-stream"

    def __init__(self, content: AsyncIterator[bytes]) -> None:
        self.status_code = 200
        self.background = None
        self.init_headers({"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        self._content = content

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        connection = _Connection(scope, send)
        leaving = asyncio.create_task(_until_gone(receive, connection))
        try:
            with contextlib.suppress(TimeoutError):
                async with connection.scope:
                    async for piece in self._content:
                        await connection.write(piece)
                    await connection.end()
        finally:
            connection.stop()
            await end_task(leaving)
            aclose = getattr(self._content, "aclose", None)
            if aclose is not None:
                await aclose()


def drop(scope: Scope) -> None:
    """Cut the connection, with all that the client has not taken."""
    _logger.info("a client that read nothing for %.0f s was dropped; it can resume from its last event", SEND_TIMEOUT_S)
    abort = (scope.get("extensions") or {}).get(ABORT)
    if abort is not None:
        abort()


class _Connection:
    """What is known of the client: when it was last sent something, and since when it has not taken it."""

    def __init__(self, scope: Scope, send: Send) -> None:
        self.scope = asyncio.timeout(None)
        self._asgi, self._send = scope, send
        self._loop = asyncio.get_running_loop()
        self._sent_at = self._loop.time()
        self._sending_since: float | None = None
        self._ping: asyncio.Task[None] | None = None
        self._timer = self._loop.call_later(TICK_S, self._tick)

    async def write(self, piece: bytes, *, more: bool = True) -> None:
        self._sending_since = self._sent_at = self._loop.time()
        await self._send({"type": "http.response.body", "body": piece, "more_body": more})
        self._sending_since = None

    async def end(self) -> None:
        self._timer.cancel()
        await self.write(b"", more=False)

    def leave(self) -> None:
        """Stop sending, at once."""
        with contextlib.suppress(RuntimeError):  # it has ended already
            self.scope.reschedule(0)

    def stop(self) -> None:
        self._timer.cancel()
        if self._ping is not None:
            self._ping.cancel()

    def _tick(self) -> None:
        now = self._loop.time()
        self._timer = self._loop.call_later(TICK_S, self._tick)
        if self._sending_since is not None:
            if now - self._sending_since > SEND_TIMEOUT_S:
                self._drop()
        elif now - self._sent_at > PING_S - TICK_S / 2:
            self._ping = self._loop.create_task(self.write(_PING))

    def _drop(self) -> None:
        drop(self._asgi)
        self.leave()


async def _until_gone(receive: Receive, connection: _Connection) -> None:
    message: Any = {}
    while message.get("type") != "http.disconnect":
        message = await receive()
    connection.leave()
