"""Streams to clients: server-sent events and WebSockets that end when the client leaves or the server stops."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

from fastapi import WebSocket, WebSocketDisconnect
from pydantic_core import to_json

from agent_orchestrator import event_stream
from shared import metrics
from shared.events.port import EventFeed, Following


class Streams:
    """The open streams of a server. `stop()` ends them all; the clients take them up again elsewhere by their last event's id."""

    def __init__(self) -> None:
        self.is_stopping = False
        self._open: set[Following] = set()

    def stop(self) -> None:
        self.is_stopping = True
        for following in list(self._open):
            following.close()

    @contextmanager
    def open(self, feed: EventFeed, task_id: str, after: int) -> Iterator[Following]:
        """The task's events with `seq > after`, until the feed ends or the server stops."""
        with feed.open(task_id, after) as following:
            self._open.add(following)
            metrics.stream_opened()
            if self.is_stopping:
                following.close()
            try:
                yield following
            finally:
                self._open.discard(following)
                metrics.stream_closed()


def sse(data: Any, *, event: str) -> bytes:
    """One server-sent event with JSON data on one line."""
    return b"event: %b\ndata: %b\n\n" % (event.encode(), to_json(data, fallback=str))


async def sse_events(streams: Streams, feed: EventFeed, task_id: str, after: int) -> AsyncGenerator[bytes, None]:
    """A task's events as server-sent events: `id:` is the sequence number, `event:` the type."""
    with streams.open(feed, task_id, after) as following:
        while (events := await following.next()) is not None:
            piece = b"".join([event.frame for event in events])
            del events  # a client may take its time
            yield piece


async def send_text(socket: WebSocket, text: str) -> None:
    """Send a message. A client that takes nothing is dropped: `WebSocketDisconnect`, as when it leaves by itself."""
    try:
        async with asyncio.timeout(event_stream.SEND_TIMEOUT_S):
            await socket.send_text(text)
    except TimeoutError:
        event_stream.drop(socket.scope)
        raise WebSocketDisconnect(1006) from None


def sse_response(content: AsyncIterator[bytes]) -> event_stream.EventStream:
    return event_stream.EventStream(content)
