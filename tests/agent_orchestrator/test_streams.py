"""A stream that is cancelled at every step of its end, as a server's cancel scope does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

from agent_orchestrator.streams import Streams


class _SlowToEnd:
    """A feed whose reader needs a moment to let go of its connection."""

    def __init__(self) -> None:
        self.ended = False

    async def follow(self, task_id: str, after: int = 0) -> AsyncIterator[Any]:
        try:
            await asyncio.sleep(60)
            yield None
        finally:
            for _ in range(5):
                await asyncio.sleep(0)
            self.ended = True


async def test_the_source_is_closed_after_its_reader_has_ended() -> None:
    feed = _SlowToEnd()
    streams = Streams()

    async def consume() -> None:
        async with aclosing(streams.follow(feed, "task_x", 0)) as events:  # type: ignore[arg-type]
            async for _ in events:
                pass

    consuming = asyncio.create_task(consume())
    await asyncio.sleep(0.01)
    while not consuming.done():
        consuming.cancel()
        await asyncio.sleep(0)
    assert consuming.cancelled(), consuming.exception()
