"""A task from its chat message to its pull request, driven in a process that may die at any point and be started again."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy.exc import DBAPIError

from agent_orchestrator.approvals.service import ApprovalService
from agent_orchestrator.conversation.service import ChatTurn, Conversation
from agent_orchestrator.resources import Resources, open_resources
from agent_orchestrator.runtime.worker import open_run_worker
from agent_orchestrator.tasks.service import TaskService
from config.settings import Settings
from shared.errors import ConflictError, UnavailableError
from shared.store import approvals, tasks
from shared.store.records import Approval, Task
from tests.chaos.boundaries import Faults, install

MESSAGE = 'replace "load_conf" with "load_config" in app.py'
"""Makes the tests red, because one of them finds the function by its old name."""
APP = '''def load_conf(path):
    """Read `path`."""
    return path.upper()
'''
TESTS = """import unittest

import app


class LoadTest(unittest.TestCase):
    def test_load(self):
        self.assertEqual(getattr(app, "load_conf")("a"), "A")
"""
REPAIR = """diff --git a/test_app.py b/test_app.py
--- a/test_app.py
+++ b/test_app.py
@@ -6,3 +6,3 @@ import app
 class LoadTest(unittest.TestCase):
     def test_load(self):
-        self.assertEqual(getattr(app, "load_conf")("a"), "A")
+        self.assertEqual(getattr(app, "load_config")("a"), "A")
"""
"""What the person adds to the change when its tests are red."""
USER = "local"
LIFE_S = 100


@dataclass(frozen=True)
class Ordeal:
    """One life of the process: where it works, and where it ends early (`point` None: not at all, and it counts the points).

    `database_url` None: the embedded server of the data folder. With `redis_url` live events and checkpoints are there.
    """

    database_url: str | None
    data_dir: Path
    repository: Path
    point: str | None = None
    passing: int = 1
    count_to: Path | None = None
    redis_url: str | None = None
    by_model: bool = False
    """The path of a model that is asked for a plan, makes the tests red and repairs what it did; else that of a recipe."""


def live(ordeal: Ordeal) -> None:
    """Run in a process of its own; ends with exit code 0 when the task has ended."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    log = os.open(ordeal.data_dir.with_suffix(".log"), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.dup2(devnull, 1)
    os.dup2(log, 2)
    faults = Faults(ordeal.point, ordeal.passing)
    install(faults)
    asyncio.run(_drive(ordeal))
    if ordeal.count_to is not None:
        ordeal.count_to.write_text(json.dumps(faults.passed))


async def _drive(ordeal: Ordeal) -> None:
    settings = Settings(
        data_dir=ordeal.data_dir,
        database_url=ordeal.database_url,
        redis_url=ordeal.redis_url,
        checkpoints="redis" if ordeal.redis_url else "postgres",
        sandbox="process",
        worker_concurrency=1,
    )
    async with asyncio.timeout(LIFE_S), _resources(settings, ordeal) as resources:
        task_id = await _submit_once(resources, ordeal)
        while not await _step(resources, task_id):
            await asyncio.sleep(0.02)


@asynccontextmanager
async def _resources(settings: Settings, ordeal: Ordeal) -> AsyncIterator[Resources]:
    """The worker is opened when the model is there: a task of a life before may go on at once."""
    async with open_resources(settings, worker=False) as resources:
        if ordeal.by_model:
            from tests.chaos.model import model

            resources.models = model()
        async with open_run_worker(resources) as worker:
            resources.worker = worker
            yield resources


async def _step(resources: Resources, task_id: str) -> bool:
    """Answer what is asked; True at the task's end. A database that is away is asked again."""
    try:
        async with resources.database.connection() as connection:
            pending = await approvals.pending_for_task(connection, task_id)
            task = await tasks.get(connection, task_id)
        assert task is not None
        if pending is not None:
            await _decide(resources, pending)
    except (UnavailableError, DBAPIError):
        await asyncio.sleep(0.3)
        return False
    return task.status.is_final


async def _submit_once(resources: Resources, ordeal: Ordeal) -> str:
    """As a client does that looks before it sends again."""
    found = await _task(resources)
    if found is not None:
        return found.id
    conversation = Conversation(resources, TaskService(resources), ApprovalService(resources))
    message = MESSAGE
    if ordeal.by_model:
        from tests.chaos.model import REQUEST

        message = REQUEST
    answer = await conversation.turn(ChatTurn(message=message, user_id=USER, context={"repo": str(ordeal.repository)}))
    assert answer.task_id is not None, answer
    return answer.task_id


async def _task(resources: Resources) -> Task | None:
    async with resources.database.connection() as connection:
        found, _ = await tasks.list_(connection, user_id=USER, limit=2)
    assert len(found) < 2
    return found[0] if found else None


async def _decide(resources: Resources, approval: Approval) -> None:
    red = (approval.subject.get("test_results") or {}).get("newly_failing")
    answer: dict[str, Any] = {"decision": "approve"}
    if red:
        answer = {"decision": "edit", "edited": {"patch": approval.subject["diff_text"] + REPAIR}}
    try:
        await ApprovalService(resources).decide(approval.id, by=USER, revision=approval.revision, **answer)
    except ConflictError:
        return
