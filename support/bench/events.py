"""Writing events to the embedded database as it is installed (fsync on): median ms of one alone, and of one in batches of 50."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from measure import data_folder, percentile, tell

from shared.events.store import append
from shared.store import tasks
from shared.store.database import Database, open_database
from shared.store.embedded import open_embedded_postgres
from shared.store.migrate import upgrade
from shared.store.records import Task
from shared.types import Json, Stage

DATA: Json = {"level": "info", "message": "collected 12 items from the tests of the repository"}
BATCH = 50


async def writing(database: Database, task_id: str, batch: int, times: int) -> list[float]:
    """Milliseconds for one event, its commit included."""
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        async with database.transaction() as tx:
            await append(tx, task_id, Stage.CODING, [("log", DATA)] * batch)
        taken.append((time.perf_counter() - began) * 1000 / batch)
    return taken


async def measure(data: Path) -> None:
    async with open_embedded_postgres(data) as url:
        await upgrade(url)
        async with open_database(url) as database:
            task = Task(id="task_bench", user_id="local", title="t", prompt="p", repo="/r")
            async with database.transaction() as tx:
                await tasks.insert(tx, task)
            for name, batch, times in (("alone", 1, 500), ("batch", BATCH, 60)):
                await writing(database, task.id, batch, 10)
                taken = await writing(database, task.id, batch, times)
                tell(
                    "events", written=name, events=batch, p50_ms=round(percentile(taken, 0.5), 3), p99_ms=round(percentile(taken, 0.99), 3)
                )


if __name__ == "__main__":
    with data_folder() as data:
        asyncio.run(measure(data))
