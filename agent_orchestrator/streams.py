"""Streams to clients: server-sent events and WebSockets that end when the client leaves or the server stops."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Any

from sse_starlette import EventSourceResponse, ServerSentEvent

from shared import metrics
from shared.background import end_task
from shared.events.port import EventFeed
from shared.store.records import Event

PING_S = 15
SEND_TIMEOUT_S = 30.0


class Streams:
    """The open streams of a server. `stop()` ends them all; the clients take them up again elsewhere by their last event's id."""

    def __init__(self) -> None:
        self.stopping = asyncio.Event()

    def stop(self) -> None:
        self.stopping.set()

    async def follow(self, feed: EventFeed, task_id: str, after: int) -> AsyncGenerator[Event, None]:
        """The task's events with `seq > after`, until the feed ends or the server stops."""
        source = feed.follow(task_id, after)
        stop = asyncio.ensure_future(self.stopping.wait())
        metrics.stream_opened()
        try:
            while not self.stopping.is_set():
                step = asyncio.ensure_future(_next(source))
                try:
                    await asyncio.wait({step, stop}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    if not step.done():
                        await end_task(step)
                if self.stopping.is_set():
                    return
                event = step.result()
                if event is None:
                    return
                yield event
        finally:
            metrics.stream_closed()
            stop.cancel()
            aclose = getattr(source, "aclose", None)
            if aclose is not None:
                await aclose()


async def _next(source: AsyncIterator[Event]) -> Event | None:
    return await anext(source, None)


def sse(data: Any, *, event: str, id: int | None = None) -> ServerSentEvent:
    """One server-sent event with JSON data on one line."""
    return ServerSentEvent(json.dumps(data, ensure_ascii=False, default=str), event=event, id=None if id is None else str(id), sep="\n")


async def sse_events(streams: Streams, feed: EventFeed, task_id: str, after: int) -> AsyncGenerator[ServerSentEvent, None]:
    """A task's events as server-sent events: `id:` is the sequence number, `event:` the type."""
    async with aclosing(streams.follow(feed, task_id, after)) as events:
        async for event in events:
            yield sse(event.public(), event=event.type, id=event.seq)


def sse_response(content: AsyncIterator[ServerSentEvent]) -> EventSourceResponse:
    return EventSourceResponse(content, ping=PING_S, send_timeout=SEND_TIMEOUT_S, sep="\n")
