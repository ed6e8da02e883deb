"""Tasks through a workflow of three nodes without a model, by the durable queue: tasks a second, and milliseconds for one alone.

From the creation of the task to its last event, everything stored: task, job, lease, checkpoints with durability sync, events.
`first_ms` is the time until a follower has its first event, `node_ms` until it has the first that a node wrote.
"""

from __future__ import annotations

import asyncio
import gc
import time
from dataclasses import dataclass
from typing import Any

from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime
from measure import data_folder, percentile, tell
from typing_extensions import TypedDict

from agent_orchestrator.resources import Resources, open_resources
from agent_orchestrator.runtime.executor import RunExecutor
from agent_orchestrator.runtime.journal import FencedJournal
from agent_orchestrator.runtime.lease import Lease
from agent_orchestrator.runtime.worker import open_run_worker
from agent_orchestrator.tasks.service import TaskDraft, TaskService
from config.settings import Settings
from shared.store.records import Task
from shared.types import Stage, TaskStatus

CROWDS = ((1, 40), (10, 200), (100, 300))


class State(TypedDict, total=False):
    words: list[str]


@dataclass(frozen=True)
class Context:
    journal: FencedJournal


async def first(state: State, runtime: Runtime[Context]) -> State:
    await runtime.context.journal.log(Stage.PLANNING, "one")
    return {"words": ["one"]}


async def second(state: State, runtime: Runtime[Context]) -> State:
    return {"words": [*state["words"], "two"]}


async def third(state: State, runtime: Runtime[Context]) -> State:
    done = {"final_status": "completed", "outcome": "answered", "pr_url": None, "error": None}
    await runtime.context.journal.update(
        Stage.REPORT, TaskStatus.COMPLETED, details="done", events=[("task_completed", done)], outcome="answered"
    )
    return {"words": [*state["words"], "three"]}


def three_nodes() -> Any:
    graph: Any = StateGraph(State, context_schema=Context)
    for name, node in (("first", first), ("second", second), ("third", third)):
        graph.add_node(name, node)
    for left, right in ((START, "first"), ("first", "second"), ("second", "third"), ("third", END)):
        graph.add_edge(left, right)
    return graph


async def one_task(resources: Resources) -> tuple[float, float, float]:
    """Seconds from the request to the last event, to the first, and to the first that a node wrote."""
    began = time.perf_counter()
    draft = TaskDraft(user_id="local", prompt="count", title="count", repo="/bench", workflow="investigation")
    async with resources.database.transaction() as tx:
        task = await TaskService(resources).create(tx, draft)
    heard: dict[Stage, float] = {}
    async for event in resources.feed.follow(task.id):
        heard.setdefault(event.stage, time.perf_counter() - began)
        if event.type == "task_completed":
            break
    return time.perf_counter() - began, heard[Stage.QUEUE], heard[Stage.PLANNING]


async def crowd(resources: Resources, size: int, count: int) -> dict[str, float]:
    """`count` tasks, `size` at a time."""
    left = iter(range(count))
    taken: list[tuple[float, float, float]] = []

    async def person() -> None:
        for _ in left:
            taken.append(await one_task(resources))

    began = time.perf_counter()
    await asyncio.gather(*(person() for _ in range(size)))
    figures = {"per_second": count / (time.perf_counter() - began)}
    for name, values in zip(("p50_ms", "first_ms", "node_ms"), zip(*taken, strict=True), strict=True):
        figures[name] = percentile(values, 0.5) * 1000
    return {name: round(value, 1) for name, value in figures.items()}


async def main() -> None:
    with data_folder() as data:
        async with open_resources(Settings(data_dir=data, worker_concurrency=20, database_pool=20), worker=False) as resources:

            async def context(lease: Lease, task: Task) -> Context:
                return Context(FencedJournal(lease, resources.artifacts))

            async with open_run_worker(resources, lambda opened, saver: RunExecutor(opened, saver, three_nodes(), context)):
                await crowd(resources, 1, 10)
                gc.freeze()  # as the server does
                figures = {f"at_{size}": await crowd(resources, size, count) for size, count in CROWDS}
    tell("throughput", **figures)


if __name__ == "__main__":
    asyncio.run(main())
