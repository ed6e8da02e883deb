"""One task's events taken from two server processes in turn, on one database: nothing is missed and nothing comes twice."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from pathlib import Path

import httpx
import httpx_sse

from shared.events.store import append
from shared.store import tasks
from shared.store.database import Database, open_database
from shared.store.records import Task
from shared.types import Stage, new_id
from tests.e2e.conftest import Shell
from tests.e2e.test_idempotency import TOKEN, serving

EVENTS = 600


async def write(database: Database, task_id: str) -> None:
    for number in range(EVENTS):
        async with database.transaction() as tx:
            await append(tx, task_id, Stage.CODING, [("log", {"message": str(number)})])
        await asyncio.sleep(0.001)
    async with database.transaction() as tx:
        await append(tx, task_id, Stage.REPORT, [("task_completed", {"final_status": "completed"})])


async def take(url: str, task_id: str, seen: list[int], until: int | None) -> None:
    """Events after the last one seen, at most `until` of them."""
    headers = {"Authorization": f"Bearer {TOKEN}", "Last-Event-ID": str(seen[-1]) if seen else ""}
    async with (
        httpx.AsyncClient(headers=headers, timeout=20, trust_env=False) as client,
        httpx_sse.aconnect_sse(client, "GET", f"{url}/tasks/{task_id}/events") as source,
    ):
        async for event in source.aiter_sse():
            seen.append(int(event.id))
            if until is not None and (until := until - 1) <= 0:
                return


async def hop(urls: list[str], task_id: str) -> list[int]:
    seen: list[int] = []
    for number in range(12):
        await take(urls[number % 2], task_id, seen, 1 + number * 4)
    await take(urls[0], task_id, seen, None)
    return seen


async def follow_both(urls: list[str], postgres_url: str) -> list[list[int]]:
    async with open_database(postgres_url, pool_size=2) as database:
        task = Task(id=new_id("task"), user_id="local", title="t", prompt="p", repo="/r")
        async with database.transaction() as tx:
            await tasks.insert(tx, task)
        writing = asyncio.create_task(write(database, task.id))
        async with asyncio.timeout(60):
            during = await asyncio.gather(*(hop(urls, task.id) for _ in range(5)))
            await writing
            return [*during, await hop(urls[::-1], task.id)]


def test_two_servers_of_one_database(tmp_path: Path, postgres_url: str) -> None:
    with ExitStack() as stack:
        settings = {"DATABASE_URL": postgres_url, "PERSEVERE_TOKEN": TOKEN}
        urls = [stack.enter_context(serving(Shell(tmp_path, tmp_path / name, settings)))[1] for name in ("a", "b")]
        for seen in asyncio.run(follow_both(urls, postgres_url)):
            assert seen == list(range(1, EVENTS + 2))
