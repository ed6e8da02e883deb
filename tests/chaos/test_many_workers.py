"""Many tasks over four workers of which one is killed, or frozen, every few seconds: each task ends once and well.

`PERSEVERE_CHAOS=every` runs 200 tasks with trouble every 10 s instead of 40 with trouble every 1.5 s.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import signal
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

import pytest

from agent_orchestrator.approvals.service import ApprovalService
from agent_orchestrator.conversation.service import ChatTurn, Conversation
from agent_orchestrator.resources import Resources
from agent_orchestrator.tasks.service import TaskService
from shared.errors import ConflictError
from shared.events import store as events_store
from shared.store import approvals, audit, pull_requests, tasks
from shared.types import ApprovalStatus
from tests.agent_orchestrator.conftest import git
from tests.agent_orchestrator.runtime.processes import Start, WorkerProcess, workers

pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]
TASKS, EVERY_S = (200, 10.0) if os.environ.get("PERSEVERE_CHAOS") == "every" else (40, 1.5)
WORKERS = 4


async def _submit(resources: Resources, repository: Path) -> None:
    conversation = Conversation(resources, TaskService(resources), ApprovalService(resources))
    for number in range(TASKS):
        message = f'replace "Read" with "Load number {number}" in app.py'
        answer = await conversation.turn(ChatTurn(message=message, user_id="local", context={"repo": str(repository)}))
        assert answer.task_id is not None, answer


async def _approve_everything(resources: Resources) -> None:
    while True:
        async with resources.database.connection() as tx:
            asked, _ = await approvals.list_(tx, user_id="local", status=ApprovalStatus.PENDING, limit=50)
        for approval in asked:
            with suppress(ConflictError):
                await ApprovalService(resources).decide(approval.id, by="local", decision="approve", revision=approval.revision)
        await asyncio.sleep(0.1)


async def _trouble(crew: list[WorkerProcess], start: Start, done: list[str]) -> None:
    """Every `EVERY_S` one worker is killed and replaced; every third time one is frozen for longer than its lease instead."""
    for number in itertools.count():
        await asyncio.sleep(EVERY_S)
        victim = random.choice(crew)
        if number % 3 == 2:
            victim.send(signal.SIGSTOP)
            done.append("frozen")
            await asyncio.sleep(15)
            victim.send(signal.SIGCONT)
            continue
        victim.send(signal.SIGKILL)
        done.append("killed")
        crew.remove(victim)
        crew.append(await start(data=f"data-{number}"))


async def _all_ended(resources: Resources) -> None:
    while True:
        found: list[str | None] = []
        async with resources.database.connection() as tx:
            cursor: str | None = None
            while True:
                page, cursor = await tasks.list_(tx, user_id="local", limit=100, cursor=cursor)
                found += [task.status.value if task.status.is_final else None for task in page]
                if cursor is None:
                    break
        if len(found) == TASKS and None not in found:
            return
        await asyncio.sleep(0.5)


async def test_nothing_is_lost_or_done_twice(
    resources: Resources, repository: Path, postgres_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await _submit(resources, repository)
    async with workers(postgres_url, tmp_path, worker_concurrency="2") as start:
        crew = [await start(data=f"worker-{number}") for number in range(WORKERS)]
        began, trouble = time.monotonic(), list[str]()
        helpers = [asyncio.create_task(_approve_everything(resources)), asyncio.create_task(_trouble(crew, start, trouble))]
        ending = asyncio.create_task(_all_ended(resources))
        await asyncio.wait([ending, *helpers], return_when=asyncio.FIRST_COMPLETED, timeout=TASKS * 10 + 120)
        for helper in helpers:
            helper.cancel()
        await asyncio.wait(helpers)
        errors = [repr(helper.exception()) for helper in helpers if not helper.cancelled()]
        with capsys.disabled():
            print(f"\n{TASKS} tasks, {WORKERS} workers, {dict(Counter(trouble))}: {time.monotonic() - began:.0f} s")  # noqa: T201
    assert ending.done(), (errors, [worker.errors[-500:] for worker in crew])
    await ending
    assert "killed" in trouble
    await _judge(resources, repository)


async def _judge(resources: Resources, repository: Path) -> None:
    async with resources.database.connection() as tx:
        found, _ = await tasks.list_(tx, user_id="local", limit=TASKS)
        pulls, _ = await pull_requests.list_(tx, str(repository), limit=TASKS + 1)
        stories = {task.id: await events_store.read(tx, task.id) for task in found}
        assert (await audit.verify(tx)).ok
    assert Counter(task.status.value for task in found) == {"completed": TASKS}, [(task.id, task.error) for task in found if task.error]
    branches = git(repository, "branch", "--list", "persevere/*", "--format=%(refname:short)").split()
    assert sorted(branches) == sorted(str(task.branch) for task in found)
    assert sorted(pull.branch for pull in pulls) == sorted(branches)
    kinds = {task_id: [(event.type, event.stage.value) for event in events] for task_id, events in stories.items()}
    usual = Counter(map(tuple, kinds.values())).most_common(1)[0][0]
    for task_id, events in stories.items():
        assert [event.seq for event in events] == list(range(1, len(events) + 1)), task_id
        assert tuple(kinds[task_id]) == usual, (task_id, kinds[task_id])
