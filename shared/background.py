"""Ending background tasks for certain."""

from __future__ import annotations

import asyncio
from typing import Any

RETRY_S = 0.2


async def end_task(task: asyncio.Task[Any]) -> None:
    """Cancel `task` until it has ended, also when we are cancelled meanwhile; its result and its error are dropped.

    Once is not enough: psycopg turns a cancellation inside a query into `QueryCanceled`, which a loop takes for an outage. And whoever
    closes what the task uses must know that it is over: a cancel scope cancels us again at every step.
    """
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        task.cancel()
        try:
            await asyncio.wait([task], timeout=RETRY_S)
        except asyncio.CancelledError as error:
            cancelled = error
    if not task.cancelled():
        task.exception()
    if cancelled is not None:
        raise cancelled
