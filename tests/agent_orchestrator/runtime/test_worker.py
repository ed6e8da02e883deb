"""A worker that is opened and closed at any moment."""

from __future__ import annotations

import asyncio
import random

from agent_orchestrator.resources import Resources
from agent_orchestrator.runtime.worker import open_run_worker


async def test_a_worker_ends_whenever_it_is_asked(resources: Resources) -> None:
    async def open_and_close(pause: float) -> None:
        async with open_run_worker(resources):
            await asyncio.sleep(pause)

    for _ in range(20):
        async with asyncio.timeout(20):
            await open_and_close(random.choice([0, 0, 0.001, 0.01, 0.05]))
