"""A model's work that is interrupted goes on behind its last step: a killed worker, a worker that stops, a budget that is used up."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from agent_orchestrator.approvals.service import ApprovalService
from agent_orchestrator.resources import Resources, open_resources
from agent_orchestrator.tasks.service import TaskDraft, TaskService
from config.settings import load_settings
from shared.events import store as events_store
from shared.sandbox.bubblewrap import BubblewrapProvider
from shared.store import approvals, steps
from shared.store.records import Event, Task
from shared.types import TaskStatus
from tests.agent_orchestrator.runtime.processes import WorkerProcess, workers
from tests.e2e.conftest import MakeRepository, git, task_branches
from tests.stand_ins.openai import OpenAIStandIn
from tests.stand_ins.script import Answer, Call, Json, Say, serving

KEY = "sk-going-on-0123456789abcdef"
SOURCE = "def load_conf(path):\n    return path.upper()\n"
TESTS = """import unittest

from app import load_conf


class LoadTest(unittest.TestCase):
    def test_load(self):
        self.assertEqual(load_conf("a"), "A")
"""
REQUEST = "Add handling of white space around the path to load_conf"
PLAN = {"summary": "Strip white space", "steps": [{"title": "Strip the path", "files": ["app.py"]}]}
REVIEW = {"verdict": "looks_good", "summary": "It strips the path.", "comments": []}
COMMAND = "sleep 1.5; printf '# checked\\n' >> app.py; touch elsewhere.txt"
"""Shows how often it was run, and does something that is undone."""
TURNS: tuple[Answer, ...] = (
    Answer(calls=(Call("read_file", {"path": "app.py"}),)),
    Answer(calls=(Call("DraftPlan", PLAN),)),
    Answer(calls=(Call("read_file", {"path": "app.py"}),)),
    Answer(calls=(Call("edit_file", {"path": "app.py", "old": "path.upper()", "new": "path.strip()"}),)),
    Answer(calls=(Call("run_command", {"command": COMMAND}),)),
    Answer(calls=(Call("edit_file", {"path": "app.py", "old": "path.strip()", "new": "path.strip().upper()"}),)),
    Answer(("The path is stripped.",)),
    Answer(calls=(Call("DraftReview", REVIEW),)),
)
EXPECTED = "def load_conf(path):\n    return path.strip().upper()\n# checked\n"
COMMANDS = 4
"""The turn that runs the command."""


@pytest.fixture(autouse=True)
async def isolated() -> None:
    probe = await BubblewrapProvider().probe()
    if not probe.works:
        pytest.skip(f"{probe.reason}; {probe.next_step}")


@dataclass
class Scene:
    """One task of a model's, its worker a process of its own."""

    stand_in: OpenAIStandIn
    resources: Resources
    start: Callable[..., Any]
    repository: Path
    worker: WorkerProcess | None = None
    asked: list[str] = field(default_factory=list)

    async def submit(self, **request: Any) -> str:
        info = await self.resources.forge.inspect(str(self.repository))
        draft = TaskDraft(user_id="local", prompt=REQUEST, title=REQUEST, repo=info.repo, workflow="feature_dev", request=request)
        async with self.resources.database.transaction() as tx:
            return (await TaskService(self.resources).create(tx, draft)).id

    async def finish(self, task_id: str) -> Task:
        """Approve what is asked, and start a worker again when one has ended."""
        async with asyncio.timeout(120):
            while True:
                if self.worker is None or self.worker.process.returncode is not None:
                    self.worker = await self.start()
                async with self.resources.database.connection() as connection:
                    pending = await approvals.pending_for_task(connection, task_id)
                if pending is not None:
                    self.asked.append(pending.gate.value)
                    await ApprovalService(self.resources).decide(pending.id, by="local", decision="approve", revision=pending.revision)
                task = await TaskService(self.resources).get(task_id, "local")
                if task.status.is_final:
                    return task
                await asyncio.sleep(0.05)

    def end_worker(self, number: int) -> None:
        assert self.worker is not None
        self.worker.send(number)

    async def events(self, task_id: str) -> list[Event]:
        async with self.resources.database.connection() as connection:
            return await events_store.read(connection, task_id)

    async def check(self, task: Task, repeated: int = 0) -> None:
        """The end is that of a life without a trouble; only `repeated` calls, whose answers nobody heard, were made again."""
        assert (task.status, task.outcome, task.error) == (TaskStatus.COMPLETED, "pull_request", None), task.error
        assert git(self.repository, "show", f"{task.branch}:app.py") == EXPECTED
        assert task_branches(self.repository) == [task.branch]
        assert len(self.stand_in.bodies) == len(TURNS) + repeated
        used = [event.data["total"]["calls"] for event in await self.events(task.id) if event.type == "usage"]
        assert used == list(range(1, len(TURNS) + 1))
        assert (task.cost["calls"], task.cost["tokens"]) == (len(TURNS), 120 * len(TURNS))
        async with self.resources.database.connection() as connection:
            assert await steps.size(connection, task.id) == (0, 0)


@pytest.fixture
async def scene(
    tmp_path: Path, postgres_url: str, make_repository: MakeRepository, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Scene]:
    async with open_scene(tmp_path, postgres_url, make_repository, monkeypatch) as opened:
        yield opened


@asynccontextmanager
async def open_scene(
    folder: Path, url: str, make_repository: MakeRepository, monkeypatch: pytest.MonkeyPatch, sandbox: Mapping[str, str] | None = None
) -> AsyncIterator[Scene]:
    repository = make_repository({"app.py": SOURCE, "test_app.py": TESTS})
    prices = folder / "prices.yaml"
    prices.write_text('prices: {"openai:big": {input: 100, output: 0}}')
    async with serving(OpenAIStandIn(KEY)) as stand_in:
        environment = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": stand_in.base_url, "PERSEVERE_MODEL": "openai:big"}
        environment |= {"PERSEVERE_MODEL_PRICES": str(prices), **(sandbox or {"PERSEVERE_SANDBOX": "bubblewrap"})}
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        named = {name.removeprefix("PERSEVERE_").lower(): value for name, value in environment.items() if name.startswith("PERSEVERE_")}
        settings = load_settings({**environment, "DATABASE_URL": url, "PERSEVERE_DATA_DIR": str(folder / "client")})
        async with workers(url, folder, **named) as start, open_resources(settings, worker=False) as resources:
            yield Scene(stand_in, resources, start, repository)


def contents(body: Json) -> list[tuple[str, str]]:
    return [(message["role"], str(message.get("content"))) for message in body["messages"]]


@pytest.mark.parametrize("turn", [COMMANDS + 1, *(pytest.param(turn, marks=pytest.mark.slow) for turn in (0, 3, len(TURNS) - 2))])
async def test_a_worker_that_is_killed_while_the_model_answers(scene: Scene, turn: int) -> None:
    def kill(body: Json) -> Answer:
        scene.end_worker(signal.SIGKILL)
        return TURNS[turn]

    script: Sequence[Say] = (*TURNS[:turn], kill, *TURNS[turn:])
    scene.stand_in.say(*script)
    task = await scene.finish(await scene.submit())
    await scene.check(task, repeated=1)
    unheard, again = scene.stand_in.bodies[turn : turn + 2]
    assert contents(again)[: len(contents(unheard))] == contents(unheard)
    more = contents(again)[len(contents(unheard)) :]
    assert [role for role, _ in more] == (["user"] if turn > COMMANDS else [])
    assert all("goes on in a fresh checkout" in text for _, text in more)


@pytest.mark.slow
async def test_a_worker_that_is_killed_while_a_command_runs(scene: Scene) -> None:
    """The answer that asked for the command was kept, so the command is made again and the model is not asked again."""

    def kill_later(body: Json) -> Answer:
        asyncio.get_running_loop().call_later(0.9, scene.end_worker, signal.SIGKILL)
        return TURNS[COMMANDS]

    scene.stand_in.say(*TURNS[:COMMANDS], kill_later, *TURNS[COMMANDS + 1 :])
    await scene.check(await scene.finish(await scene.submit()))


async def test_a_worker_that_is_told_to_stop_stops_at_the_next_step(scene: Scene) -> None:
    """It lets the command end, and its successor goes on behind it."""

    def stop(body: Json) -> Answer:
        asyncio.get_running_loop().call_later(0.9, scene.end_worker, signal.SIGTERM)
        return TURNS[COMMANDS]

    scene.stand_in.say(*TURNS[:COMMANDS], stop, *TURNS[COMMANDS + 1 :])
    task = await scene.finish(await scene.submit())
    await scene.check(task)
    assert contents(scene.stand_in.bodies[COMMANDS + 1])[-1] == (
        "user",
        "The work was interrupted and goes on in a fresh checkout that has all your changes. "
        "What commands left besides, such as build results and caches, is gone.",
    )


async def test_a_budget_that_is_used_up_in_the_middle(scene: Scene) -> None:
    """Each answer costs a cent: it is asked about after three, and nothing is paid for twice."""
    scene.stand_in.say(*TURNS)
    task = await scene.finish(await scene.submit(cost_budget_usd=0.03))
    await scene.check(task)
    assert scene.asked == ["plan", "budget", "diff"]
    assert task.cost["cost_usd"] == pytest.approx(len(TURNS) / 100)


@pytest.mark.slow
async def test_what_is_said_to_it_is_heard_once_also_after_a_kill(scene: Scene) -> None:
    def kill(body: Json) -> Answer:
        asyncio.get_running_loop().create_task(said_then_killed())
        return Answer(("unheard",), silent_after=0)

    async def said_then_killed() -> None:
        await TaskService(scene.resources).message(task_id, "local", "mind the case")
        scene.end_worker(signal.SIGKILL)

    scene.stand_in.say(*TURNS[:3], kill, *TURNS[3:])
    task_id = await scene.submit()
    await scene.check(await scene.finish(task_id), repeated=1)
    heard = [str(body).count("mind the case") for body in scene.stand_in.bodies]
    assert heard == [0, 0, 0, 0, 1, 1, 1, 1, 1]
