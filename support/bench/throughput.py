"""Tasks through a workflow of three nodes without a model, by the durable queue: tasks a second, and milliseconds for one alone.

From the creation of the task to its last event, everything stored: task, job, lease, checkpoints with durability sync, events.
`step` compares the same graph with the plain saver of LangGraph on the same database, one task alone (`ratio`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from measure import data_folder, percentile, tell
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool
from typing_extensions import TypedDict

from agent_orchestrator.resources import Resources, open_resources
from agent_orchestrator.runtime.executor import RunExecutor
from agent_orchestrator.runtime.journal import FencedJournal
from agent_orchestrator.runtime.lease import Lease
from agent_orchestrator.runtime.worker import open_run_worker
from agent_orchestrator.tasks.service import TaskDraft, TaskService
from config.settings import Settings
from shared.store.records import Task
from shared.types import Stage, TaskStatus, new_id

ALONE, CROWDS = 30, ((10, 200), (100, 300))


class State(TypedDict, total=False):
    words: list[str]


@dataclass(frozen=True)
class Context:
    journal: FencedJournal


async def first(state: State, runtime: Runtime[Context]) -> State:
    return {"words": ["one"]}


async def second(state: State, runtime: Runtime[Context]) -> State:
    return {"words": [*state["words"], "two"]}


async def third(state: State, runtime: Runtime[Context]) -> State:
    done = {"final_status": "completed", "outcome": "answered", "pr_url": None, "error": None}
    await runtime.context.journal.update(
        Stage.REPORT, TaskStatus.COMPLETED, details="done", events=[("task_completed", done)], outcome="answered"
    )
    return {"words": [*state["words"], "three"]}


async def last(state: State) -> State:
    return {"words": [*state["words"], "three"]}


def three_nodes(end: Any = third) -> Any:
    graph: Any = StateGraph(State, context_schema=Context)
    for name, node in (("first", first), ("second", second), ("third", end)):
        graph.add_node(name, node)
    for left, right in ((START, "first"), ("first", "second"), ("second", "third"), ("third", END)):
        graph.add_edge(left, right)
    return graph


async def one_task(resources: Resources) -> float:
    """Seconds from the request to the last event."""
    began = time.perf_counter()
    draft = TaskDraft(user_id="local", prompt="count", title="count", repo="/bench", workflow="investigation")
    async with resources.database.transaction() as tx:
        task = await TaskService(resources).create(tx, draft)
    async for event in resources.feed.follow(task.id):
        if event.type == "task_completed":
            break
    return time.perf_counter() - began


async def crowd(one: Callable[[], Awaitable[float]], size: int, count: int) -> dict[str, float]:
    """`count` tasks, `size` at a time."""
    left = iter(range(count))
    taken: list[float] = []

    async def person() -> None:
        for _ in left:
            taken.append(await one())

    began = time.perf_counter()
    await asyncio.gather(*(person() for _ in range(size)))
    return {"per_second": round(count / (time.perf_counter() - began), 1), "p50_ms": round(percentile(taken, 0.5) * 1000, 1)}


async def bare_step_ms(conninfo: str) -> float:
    """Milliseconds a node of the same graph by LangGraph alone."""
    pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
        conninfo, min_size=1, max_size=2, kwargs={"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}, open=False
    )
    taken = []
    async with pool:
        graph = three_nodes(last).compile(checkpointer=AsyncPostgresSaver(pool))
        for _ in range(ALONE):
            began = time.perf_counter()
            await graph.ainvoke({"words": []}, {"configurable": {"thread_id": new_id("bare")}}, durability="sync")
            taken.append(time.perf_counter() - began)
    return percentile(taken, 0.5) * 1000 / 3


async def main() -> None:
    with data_folder() as data:
        async with open_resources(Settings(data_dir=data, worker_concurrency=20, database_pool=20), worker=False) as resources:

            async def context(lease: Lease, task: Task) -> Context:
                return Context(FencedJournal(lease, resources.artifacts))

            async with open_run_worker(resources, lambda opened, saver: RunExecutor(opened, saver, three_nodes(), context)):
                for _ in range(5):
                    await one_task(resources)
                alone = [await one_task(resources) for _ in range(ALONE)]
                figures: dict[str, Any] = {"alone_ms": round(percentile(alone, 0.5) * 1000, 1)}
                for size, count in CROWDS:
                    figures[f"at_{size}"] = await crowd(lambda: one_task(resources), size, count)
            bare = await bare_step_ms(resources.database.conninfo)
    tell("throughput", **figures, bare_step_ms=round(bare, 2))


if __name__ == "__main__":
    asyncio.run(main())
