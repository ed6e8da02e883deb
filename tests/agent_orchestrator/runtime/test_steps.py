"""Steps under a lease: kept with what they cost or not at all, never by a stale run, dropped with what they belong to, and bounded."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from math import inf
from typing import Any

import pytest

from agent_orchestrator.runtime.endings import cancel_now
from agent_orchestrator.runtime.lease import Lease
from agent_orchestrator.runtime.owners import OwnerBudgets
from agent_orchestrator.runtime.spend import Budget, TaskSpend
from agent_orchestrator.runtime.steps import FencedSteps
from agents.context import Step
from shared.errors import FencedError
from shared.events import store as events_store
from shared.events.store import KeptStep
from shared.models.limits import PeriodLimits
from shared.models.port import Usage
from shared.store import runs, steps, tasks
from shared.store.database import Database
from shared.store.records import Event, Task
from shared.types import TaskStatus

MODEL = "openai:big"


def step(text: str, **more: Any) -> Step:
    return Step([{"type": "ai", "data": {"content": text}}], **more)


@dataclass
class Life:
    """One run of a task."""

    lease: Lease
    task: Task

    def log(self, **more: Any) -> FencedSteps:
        endless = Budget(inf, inf, inf, inf)
        owners = OwnerBudgets("local", None, PeriodLimits(), PeriodLimits())
        return FencedSteps(self.lease, TaskSpend(self.lease, self.task, endless, endless, owners), **more)

    async def size(self) -> int:
        async with self.lease.database.connection() as connection:
            return (await steps.size(connection, self.task.id))[0]

    async def record(self) -> tuple[dict[str, Any], list[Event]]:
        async with self.lease.database.connection() as connection:
            task = await tasks.get(connection, self.task.id)
            assert task is not None
            return task.cost, await events_store.read(connection, self.task.id)


async def begin(database: Database, task: Task) -> Life:
    async with database.transaction() as tx:
        run = await runs.claim(tx, task.id, "me", 1, "here")
    return Life(Lease(database, task.id, run.epoch, run.thread_id), task)


@pytest.fixture
async def task(database: Database) -> Task:
    made = Task(id="task_steps", user_id="local", title="t", prompt="p", repo="/r", status=TaskStatus.CODING)
    async with database.transaction() as tx:
        await tasks.insert(tx, made)
        await runs.insert(tx, made.id)
    return made


async def test_what_was_kept_is_read_as_it_was_by_a_later_run(database: Database, task: Task) -> None:
    first = (await begin(database, task)).log()
    said = [
        step("\x00 \ud83d one", state={"heard": {"remarks": 1}}),
        step("two", files={"a.py": b"\x00\xff", "gone.py": None}, patch=b"diff \xfe\n"),
        step("three", patch=b""),
        Step([{"type": "ai", "data": {"content": [{"signature": b"\x00\xff"}]}}]),
    ]
    assert await first.read("piece") == []
    for one in said:
        assert await first.keep("piece", one)
    assert await (await begin(database, task)).log().read("piece") == said


async def test_an_answer_its_cost_and_its_line_are_one(database: Database, task: Task) -> None:
    life = await begin(database, task)
    log = life.log()
    await log.read("piece")
    await log.keep("piece", step("one"), used=[(MODEL, Usage(10, 5, 0.5)), (MODEL, Usage(1, 1, None))], told="reading")
    cost, told = await life.record()
    assert (cost["calls"], cost["tokens"], cost["cost_usd"], cost["unpriced_calls"]) == (2, 17, 0.5, 1)
    assert [(event.seq, event.type) for event in told] == [(1, "usage"), (2, "usage"), (3, "log")]
    assert told[1].data["total"]["calls"] == 2
    assert told[2].data["message"] == "reading"
    with pytest.raises(TypeError):
        await log.keep("piece", step("two", state={("not", "json"): 1}), used=[(MODEL, Usage(1, 1, None))])
    assert (await life.record())[0]["calls"] == 2


async def test_a_stale_run_keeps_nothing(database: Database, task: Task) -> None:
    stale = await begin(database, task)
    log = stale.log()
    await log.read("piece")
    await log.keep("piece", step("one"), used=[(MODEL, Usage(1, 1, 0.1))])
    await begin(database, task)
    before = await stale.record()
    with pytest.raises(FencedError):
        await log.keep("piece", step("an answer"), used=[(MODEL, Usage(1, 1, 0.1))], told="stale")
    with pytest.raises(FencedError):
        await log.keep("piece", step("a round of tools"))
    with pytest.raises(FencedError):
        await log.forget()
    assert await stale.record() == before
    assert await stale.size() == 1


@pytest.mark.parametrize("used", [[(MODEL, Usage(1, 1, 0.1))], []])
async def test_a_claim_waits_for_the_step_that_is_being_kept_and_sees_it(
    database: Database, task: Task, used: list[tuple[str, Usage]]
) -> None:
    """Else the later run gives the next step the same number."""
    old = await begin(database, task)
    log = old.log()
    await log.read("piece")
    await log.keep("piece", step("one"))
    async with database.transaction() as tx:
        if used:
            await events_store.append_charged(tx, task.id, old.lease.epoch, [("usage", {})], {"calls": 1}, KeptStep("piece", 2, b"{}"))
        else:
            await steps.add(tx, task.id, old.lease.epoch, "piece", 2, b"{}")
        claiming = asyncio.create_task(begin(database, task))
        await asyncio.sleep(0.3)
        assert not claiming.done()
    new = (await claiming).lease
    async with database.transaction() as tx:
        assert len(await steps.read(tx, task.id, "piece")) == 2
        await steps.add(tx, task.id, new.epoch, "piece", 3, b"{}")
    with pytest.raises(FencedError):
        await log.keep("piece", step("stale"), used=used)


async def test_a_first_step_takes_the_run_before_it_drops_others(database: Database, task: Task) -> None:
    """As everybody does: else it and whoever ends the task would wait for each other."""
    life = await begin(database, task)
    log = life.log()
    await log.read("plan")
    await log.keep("plan", step("one"))
    await log.read("code")
    async with life.lease.transaction() as tx:
        keeping = asyncio.create_task(log.keep("code", step("two"), used=[(MODEL, Usage(1, 1, 0.1))]))
        await asyncio.sleep(0.3)
        await steps.clear(tx, task.id)
    assert await keeping
    assert await life.size() == 1


async def test_the_first_step_of_a_piece_takes_the_place_of_another(database: Database, task: Task) -> None:
    life = await begin(database, task)
    log = life.log()
    await log.read("plan")
    for text in ("one", "two"):
        await log.keep("plan", step(text))
    assert await log.read("code") == []
    assert await life.size() == 2
    await log.keep("code", step("three"), used=[(MODEL, Usage(1, 1, 0.1))])
    assert await life.size() == 1
    assert await log.read("plan") == []


async def test_a_piece_that_becomes_too_big_is_kept_as_far_as_it_was_and_paid_for(database: Database, task: Task) -> None:
    life = await begin(database, task)
    log = life.log(limit=1000)
    await log.read("piece")
    assert await log.keep("piece", step("one"))
    assert not await log.keep("piece", step("x" * 2000), used=[(MODEL, Usage(1, 1, 0.1))], told="big")
    assert not await log.keep("piece", step("small"))
    assert [one.messages[0]["data"]["content"] for one in await life.log().read("piece")] == ["one"]
    cost, told = await life.record()
    assert (cost["calls"], [event.type for event in told]) == (1, ["usage", "log"])


async def test_what_has_ended_has_no_steps(database: Database, task: Task) -> None:
    life = await begin(database, task)
    log = life.log()
    await log.read("piece")
    await log.keep("piece", step("one"))
    await log.forget()
    assert await life.size() == 0
    await log.keep("piece", step("one"))
    await cancel_now(life.lease, "cancelled")
    assert await life.size() == 0


async def test_a_run_that_keeps_an_answer_is_no_poison_run(database: Database, task: Task) -> None:
    """However often its worker dies: it comes further each time."""
    life = await begin(database, task)
    async with database.transaction() as tx:
        await runs.update(tx, task.id, poison_count=5)
    log = life.log()
    await log.read("piece")
    await log.keep("piece", step("one"), used=[(MODEL, Usage(1, 1, 0.1))])
    async with database.connection() as connection:
        run = await runs.get(connection, task.id)
    assert run is not None
    assert run.poison_count == 0
