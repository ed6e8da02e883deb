"""What a step of a graph costs under a lease, beside LangGraph alone with its PostgreSQL saver on the same database (milliseconds).

Chains of 10 and 40 nodes with a state of 1 KB, durability sync, one task alone; the median of 20 runs each, taken in turn. A step is what
30 more nodes cost; `run_ms` is what is left of a run without its steps: the claim, the look at the thread, the release.
"""

from __future__ import annotations

import asyncio
import time
from typing import Any

from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver
from langgraph.graph import END, START, StateGraph
from measure import data_folder, percentile, tell
from psycopg.rows import dict_row
from psycopg_pool import AsyncConnectionPool
from typing_extensions import TypedDict

from agent_orchestrator.resources import Resources, open_resources
from agent_orchestrator.runtime.checkpoints.postgres import PostgresCheckpoints
from agent_orchestrator.runtime.executor import RunExecutor
from agent_orchestrator.runtime.lease import Lease
from agent_orchestrator.tasks.service import TaskDraft, TaskService
from config.settings import Settings
from shared.store import tasks
from shared.store.records import Task
from shared.types import TaskStatus, new_id

SHORT, LONG, RUNS = 10, 40, 20


class State(TypedDict, total=False):
    revisions: dict[str, int]
    count: int
    text: str


async def node(state: State) -> State:
    return {"count": state.get("count", 0) + 1, "text": "x" * 1000}


def chain(length: int) -> Any:
    graph: Any = StateGraph(State)
    names = [f"node_{number}" for number in range(length)]
    for name in names:
        graph.add_node(name, node)
    for left, right in zip([START, *names], [*names, END], strict=True):
        graph.add_edge(left, right)
    return graph


async def no_context(lease: Lease, task: Task) -> None:
    """The nodes need none."""


async def under_a_lease(resources: Resources, executor: RunExecutor) -> float:
    """Seconds from the claim to the release."""
    draft = TaskDraft(user_id="local", prompt="count", title="count", repo="/bench", workflow="investigation")
    async with resources.database.transaction() as tx:
        task = await TaskService(resources).create(tx, draft)
    began = time.perf_counter()
    await executor.execute(task.id)
    taken = time.perf_counter() - began
    async with resources.database.transaction() as tx:
        await tasks.update(tx, task.id, status=TaskStatus.COMPLETED)
    return taken


async def main() -> None:
    with data_folder() as data:
        async with open_resources(Settings(data_dir=data), worker=False) as resources:
            kwargs = {"autocommit": True, "prepare_threshold": 0, "row_factory": dict_row}
            pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
                resources.database.conninfo, min_size=1, max_size=4, kwargs=kwargs, open=False
            )
            async with pool:
                ours: dict[int, list[float]] = {SHORT: [], LONG: []}
                theirs: dict[int, list[float]] = {SHORT: [], LONG: []}
                executors = {size: RunExecutor(resources, PostgresCheckpoints(pool), chain(size), no_context) for size in ours}
                bare = {size: chain(size).compile(checkpointer=AsyncPostgresSaver(pool)) for size in ours}
                for _ in range(RUNS):
                    for size in ours:
                        ours[size].append(await under_a_lease(resources, executors[size]))
                        theirs[size].append(await alone(bare[size]))
    mine, other = step_ms(ours), step_ms(theirs)
    run_ms = percentile(ours[SHORT], 0.5) * 1000 - SHORT * mine
    tell("steps", step_ms=round(mine, 2), bare_langgraph_ms=round(other, 2), ratio=round(mine / other, 2), run_ms=round(run_ms, 1))


async def alone(graph: Any) -> float:
    began = time.perf_counter()
    await graph.ainvoke({"revisions": {}}, {"configurable": {"thread_id": new_id("bare")}, "recursion_limit": 100}, durability="sync")
    return time.perf_counter() - began


def step_ms(taken: dict[int, list[float]]) -> float:
    return (percentile(taken[LONG], 0.5) - percentile(taken[SHORT], 0.5)) * 1000 / (LONG - SHORT)


if __name__ == "__main__":
    asyncio.run(main())
