"""Taking up a task with 1,000 events: claim its run, load its state, replay its events to a client; p50 and p99 in ms, by checkpoints."""

from __future__ import annotations

import asyncio
import gc
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from measure import data_folder, percentile, tell
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool

from agent_orchestrator.runtime.checkpoints.port import Checkpoints
from agent_orchestrator.runtime.checkpoints.registry import KINDS, build_checkpoints
from agent_orchestrator.supervisor.graph import build_supervisor_graph
from shared.events.feed import open_event_feed
from shared.events.port import EventFeed
from shared.events.store import append
from shared.store import runs, tasks
from shared.store.database import Database, open_database
from shared.store.embedded import open_embedded_postgres
from shared.store.migrate import upgrade
from shared.store.records import Task
from shared.types import Stage

EVENTS = 1000
TIMES = 100
LIMIT_MS = 60
STATE: Any = {
    "plan": {
        "summary": "s",
        "steps": [{"id": str(n), "title": "step", "files": ["a.py"], "detail": "what is done " * 10} for n in range(20)],
    },
    "test_results": {"verdict": "passed", "passed": 412, "commands": ["pytest"], "failures": []},
    "revisions": {"plan": 3, "diff": 2},
}


@asynccontextmanager
async def own_redis(folder: Path) -> AsyncIterator[str]:
    """A Redis of our own on a socket in `folder`."""
    socket = folder / "redis.sock"
    process = await asyncio.create_subprocess_exec(
        "redis-server",
        "--port",
        "0",
        "--unixsocket",
        str(socket),
        "--appendonly",
        "yes",
        "--dir",
        str(folder),
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        while not socket.exists():
            await asyncio.sleep(0.02)
        yield f"unix://{socket}"
    finally:
        process.terminate()
        await process.wait()


async def prepare(database: Database, checkpoints: Checkpoints, graph: Any, task_id: str) -> None:
    """A task that was at its second gate when its worker went away."""
    async with database.transaction() as tx:
        await tasks.insert(tx, Task(id=task_id, user_id="local", title="t", prompt="p", repo="/r"))
        await runs.insert(tx, task_id)
        run = await runs.claim(tx, task_id, "bench", 1, "host")
        await append(tx, task_id, Stage.CODING, [("log", {"level": "info", "message": f"line {n}"}) for n in range(EVENTS)])
    config = {"configurable": {"thread_id": task_id}}
    saved = graph.copy({"checkpointer": checkpoints.saver(task_id, run.epoch)})
    for _ in range(20):
        config = await saved.aupdate_state(config, STATE, as_node="pr_gate")


async def recover(database: Database, feed: EventFeed, checkpoints: Checkpoints, graph: Any, task_id: str) -> float:
    """Milliseconds until a process that knows nothing of the task has its state and all its events."""
    began = time.perf_counter()
    async with database.transaction() as tx:
        run = await runs.claim(tx, task_id, "bench", 1, "host")
    saved = graph.copy({"checkpointer": checkpoints.saver(task_id, run.epoch)})
    snapshot = await saved.aget_state({"configurable": {"thread_id": task_id}})
    assert snapshot.values["revisions"] == STATE["revisions"]
    with feed.open(task_id) as following:
        seen = 0
        while seen < EVENTS:
            for event in await following.next() or ():
                seen = event.seq
    return (time.perf_counter() - began) * 1000


async def measure(data: Path) -> None:
    from shared.store.redis import open_redis

    async with AsyncExitStack() as stack:
        url = await stack.enter_async_context(open_embedded_postgres(data))
        await upgrade(url)
        database = await stack.enter_async_context(open_database(url))
        kwargs = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
        pool: Any = await stack.enter_async_context(
            AsyncConnectionPool(database.conninfo, min_size=1, max_size=4, kwargs=kwargs, open=False)
        )
        redis = None
        if shutil.which("redis-server"):
            redis = await stack.enter_async_context(open_redis(await stack.enter_async_context(own_redis(data))))
        feed = await stack.enter_async_context(open_event_feed(database))
        graph: Any = build_supervisor_graph().compile()
        gc.collect()
        gc.freeze()  # as the server does
        for kind in KINDS if redis is not None else KINDS[:1]:
            checkpoints = build_checkpoints(kind, pool, redis)
            await prepare(database, checkpoints, graph, f"task_{kind}")
            taken = [await recover(database, feed, checkpoints, graph, f"task_{kind}") for _ in range(TIMES)]
            p50, p99 = (round(percentile(taken, part), 1) for part in (0.5, 0.99))
            tell("recovery", checkpoints=kind, events=EVENTS, p50_ms=p50, p99_ms=p99, limit_ms=LIMIT_MS)


if __name__ == "__main__":
    with data_folder() as data:
        asyncio.run(measure(data))
