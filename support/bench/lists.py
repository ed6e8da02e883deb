"""Every list at 100,000 tasks, against the database itself: p50 and p99 in ms of one page of 50."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from list_queries import list_queries
from many_rows import TASKS, fill
from measure import data_folder, percentile, tell

from shared.store.database import open_database
from shared.store.embedded import open_embedded_postgres
from shared.store.migrate import upgrade

TIMES = 200


async def measure(data: Path) -> None:
    async with open_embedded_postgres(data) as url:
        await upgrade(url)
        fill(url)
        async with open_database(url) as database, database.connection() as connection:
            for name, query in list_queries().items():
                taken = []
                for _ in range(TIMES):
                    began = time.perf_counter()
                    await query(connection)
                    taken.append((time.perf_counter() - began) * 1000)
                tell("lists", list=name, tasks=TASKS, p50_ms=round(percentile(taken, 0.5), 1), p99_ms=round(percentile(taken, 0.99), 1))


if __name__ == "__main__":
    with data_folder() as data:
        asyncio.run(measure(data))
