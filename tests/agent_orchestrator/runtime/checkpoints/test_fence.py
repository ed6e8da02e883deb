"""One writer: what a run writes after it lost its lease is never continued, wherever checkpoints are kept."""

from __future__ import annotations

from typing import Any, TypedDict

import pytest
from langgraph.graph import END, START, StateGraph

from agent_orchestrator.runtime.checkpoints.port import Checkpoints
from shared.errors import FencedError
from shared.store import runs
from shared.store.database import Database
from shared.store.records import Run

CONFIG: Any = {"configurable": {"thread_id": "task_1"}}


class Steps(TypedDict, total=False):
    by: str
    count: int


def compiled(checkpoints: Checkpoints, epoch: int, by: str, stop_before: str | None = None) -> Any:
    """first -> second -> third, each says who did it."""
    graph: Any = StateGraph(Steps)
    for name in ("first", "second", "third"):
        graph.add_node(name, lambda state: {"by": by, "count": state.get("count", 0) + 1})
    for edge in ((START, "first"), ("first", "second"), ("second", "third"), ("third", END)):
        graph.add_edge(*edge)
    return graph.compile(checkpointer=checkpoints.saver("task_1", epoch), interrupt_before=[stop_before] if stop_before else None)


async def test_a_stale_run_stops_and_its_fork_is_never_continued(checkpoints: Checkpoints, database: Database, run: Run) -> None:
    stale = compiled(checkpoints, run.epoch, "stale", stop_before="second")
    await stale.ainvoke({"count": 0}, CONFIG, durability="sync")
    async with database.transaction() as tx:
        fresh_run = await runs.claim(tx, "task_1", "other", 2, "host")
    with pytest.raises(FencedError):
        await stale.ainvoke(None, CONFIG, durability="sync")
    fresh = compiled(checkpoints, fresh_run.epoch, "fresh")
    before = await fresh.aget_state(CONFIG)
    assert (before.values, before.next) == ({"by": "stale", "count": 1}, ("second",))
    assert await fresh.ainvoke(None, CONFIG, durability="sync") == {"by": "fresh", "count": 3}


async def test_the_writes_of_a_stale_run_do_not_count(checkpoints: Checkpoints, database: Database, run: Run) -> None:
    stale = compiled(checkpoints, run.epoch, "stale", stop_before="second")
    await stale.ainvoke({"count": 0}, CONFIG, durability="sync")
    state = await stale.aget_state(CONFIG)
    async with database.transaction() as tx:
        fresh_run = await runs.claim(tx, "task_1", "other", 2, "host")
    try:
        await checkpoints.saver("task_1", run.epoch).aput_writes(state.config, [("by", "stale again")], state.tasks[0].id)
    except FencedError:
        pass
    found = await checkpoints.saver("task_1", fresh_run.epoch).aget_tuple(CONFIG)
    assert found is not None
    assert found.pending_writes == []


async def test_the_run_row_names_the_current_checkpoint(checkpoints: Checkpoints, database: Database, run: Run) -> None:
    graph = compiled(checkpoints, run.epoch, "one")
    async with database.transaction() as tx:
        await runs.update(tx, "task_1", poison_count=3)
    await graph.ainvoke({"count": 0}, CONFIG, durability="sync")
    state = await graph.aget_state(CONFIG)
    async with database.connection() as connection:
        row = await runs.get(connection, "task_1")
    assert row is not None
    assert (row.checkpoint_id, row.poison_count) == (state.config["configurable"]["checkpoint_id"], 0)


async def test_deleted_threads_begin_again_and_others_stay(checkpoints: Checkpoints, run: Run) -> None:
    graph = compiled(checkpoints, run.epoch, "one")
    other: Any = {"configurable": {"thread_id": "task_1.5"}}
    for config in (CONFIG, other):
        await graph.ainvoke({"count": 0}, config, durability="sync")
    await checkpoints.delete(["task_1"])
    assert (await graph.aget_state(CONFIG)).values == {}
    assert [found async for found in checkpoints.saver("task_1", run.epoch).alist(CONFIG)] == []
    assert (await graph.aget_state(other)).values["count"] == 3
