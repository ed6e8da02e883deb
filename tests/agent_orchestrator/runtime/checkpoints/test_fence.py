"""One writer: what a run writes after it lost its lease is never continued, wherever checkpoints are kept."""

from __future__ import annotations

from typing import Any, TypedDict

import pytest
from langgraph.graph import END, START, StateGraph
from psycopg_pool import AsyncConnectionPool

from agent_orchestrator.runtime.checkpoints.port import Checkpoints
from agent_orchestrator.runtime.checkpoints.registry import build_checkpoints
from shared.errors import FencedError
from shared.store import runs
from shared.store.database import Database
from shared.store.records import Run
from shared.store.redis import open_redis
from tests.redis_server import OwnRedis

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


class Killed(Exception):
    """Stands for a kill -9: nothing after it is written."""


def staged(checkpoints: Checkpoints, epoch: int, done: list[str], killed_at: str | None = None) -> Any:
    """prepare -> stage(one -> two -> three) -> report."""

    def step(name: str) -> Any:
        def node(state: Steps) -> Steps:
            if name == killed_at:
                raise Killed
            done.append(name)
            return {"count": state.get("count", 0) + 1}

        return node

    def line(*names: str) -> Any:
        graph: Any = StateGraph(Steps)
        for before, name in zip((START, *names), (*names, END), strict=True):
            if name != END:
                graph.add_node(name, stage if name == "stage" else step(name))
            graph.add_edge(before, name)
        return graph

    stage = line("one", "two", "three").compile()
    return line("prepare", "stage", "report").compile(checkpointer=checkpoints.saver("task_1", epoch))


async def _kill_in_the_stage(checkpoints: Checkpoints, run: Run, database: Database) -> tuple[list[str], int]:
    """What was done before the kill, and the epoch of the next run."""
    done: list[str] = []
    with pytest.raises(Killed):
        await staged(checkpoints, run.epoch, done, killed_at="three").ainvoke({"count": 0}, CONFIG, durability="sync")
    async with database.transaction() as tx:
        return done, (await runs.claim(tx, "task_1", "other", 2, "host")).epoch


async def test_a_kill_repeats_only_the_step_it_hit(checkpoints: Checkpoints, database: Database, run: Run) -> None:
    done, epoch = await _kill_in_the_stage(checkpoints, run, database)
    assert (await staged(checkpoints, epoch, done).ainvoke(None, CONFIG, durability="sync"))["count"] == 5
    assert done == ["prepare", "one", "two", "three", "report"]


async def test_after_a_loss_only_the_stage_begins_again(
    pool: AsyncConnectionPool[Any], redis_server: OwnRedis, database: Database, run: Run
) -> None:
    async with open_redis(redis_server.url) as redis:
        checkpoints = build_checkpoints("redis", pool, redis)
        done, epoch = await _kill_in_the_stage(checkpoints, run, database)
        redis_server.flush()
        assert (await staged(checkpoints, epoch, done).ainvoke(None, CONFIG, durability="sync"))["count"] == 5
    assert done == ["prepare", "one", "two", "one", "two", "three", "report"]


async def test_checkpoints_in_redis_say_nothing_by_themselves(
    pool: AsyncConnectionPool[Any], redis_server: OwnRedis, database: Database, run: Run
) -> None:
    """A forged or stale newest checkpoint is not taken: PostgreSQL names the current one."""
    async with open_redis(redis_server.url) as redis:
        checkpoints = build_checkpoints("redis", pool, redis)
        graph = compiled(checkpoints, run.epoch, "one", stop_before="second")
        await graph.ainvoke({"count": 0}, CONFIG, durability="sync")
        state = await graph.aget_state(CONFIG)
        current = state.config["configurable"]["checkpoint_id"]
        await redis.attempt(lambda client: client.lpush("thread:{task_1}:", "forged"))
        assert (await graph.aget_state(CONFIG)).config["configurable"]["checkpoint_id"] == current
