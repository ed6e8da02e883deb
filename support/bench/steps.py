"""What a step of a graph costs under a lease, beside LangGraph alone with its PostgreSQL saver on the same database (milliseconds).

A chain of 30 nodes with a state of 1 KB, durability sync, one task alone; the median of 20 runs each, taken in turn.
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

STEPS, RUNS = 30, 20


class State(TypedDict, total=False):
    revisions: dict[str, int]
    count: int
    text: str


async def node(state: State) -> State:
    return {"count": state.get("count", 0) + 1, "text": "x" * 1000}


def chain() -> Any:
    graph: Any = StateGraph(State)
    names = [f"node_{number}" for number in range(STEPS)]
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
                executor = RunExecutor(resources, PostgresCheckpoints(pool), chain(), no_context)
                bare = chain().compile(checkpointer=AsyncPostgresSaver(pool))
                ours, theirs = [], []
                for _ in range(RUNS):
                    ours.append(await under_a_lease(resources, executor))
                    began = time.perf_counter()
                    await bare.ainvoke(
                        {"revisions": {}}, {"configurable": {"thread_id": new_id("bare")}, "recursion_limit": 100}, durability="sync"
                    )
                    theirs.append(time.perf_counter() - began)
    mine, other = (percentile(times, 0.5) * 1000 / STEPS for times in (ours, theirs))
    tell("steps", step_ms=round(mine, 2), bare_langgraph_ms=round(other, 2), ratio=round(mine / other, 2))


if __name__ == "__main__":
    asyncio.run(main())
