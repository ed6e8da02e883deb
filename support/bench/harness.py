"""What the harness itself costs for each step of a model (milliseconds of wall time and of CPU), every step kept in PostgreSQL.

A step is an answer of the model and the calls of tools in it. Two scripts on a small repository, in the sandbox that is chosen by default,
under a run's lease and its budget, with the embedded server: `view, edit, test, finish` RUNS times, and one of LONG steps that edits, tests
and looks in turn.

The model is in this process and answers at once. What it takes to make its answers is measured where they are made, and taken off; so is
what a command takes from its start to its end in the sandbox (`sandbox_ms` says what the sandbox adds to a command that does nothing).
Everything else is the harness: langchain's loop, the tools, the checks after a command, the budget and the record. CPU is that of this
process and of the processes it waited for, without those of commands; PostgreSQL's is not in it.

`growth` compares the last nine gaps between questions of the long script with its first nine (three of each kind).
"""

from __future__ import annotations

import asyncio
import json
import resource
import subprocess
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from measure import data_folder, percentile, tell

from agent_orchestrator.resources import Resources, open_resources
from agent_orchestrator.runtime.admission import claim
from agent_orchestrator.runtime.context import build_context, pin_base
from agent_orchestrator.runtime.lease import Lease
from agent_orchestrator.tasks.service import TaskDraft, TaskService
from agents.coder import by_model
from agents.coder.graph import build_coder_graph
from config.settings import Settings
from shared.models.guarded import Candidate, GuardedChatModel
from shared.models.names import ModelName
from shared.models.port import Spend
from shared.models.prices import Price
from shared.sandbox.port import Command, Sandbox, SandboxSpec
from shared.store import tasks
from shared.types import Plan, PlanStep, TaskStatus

RUNS, LONG, LONG_RUNS = 12, 60, 3
FILES = {
    ".gitignore": "__pycache__/\n",
    "app.py": "def load(path):\n    return path.upper()\n",
    "test_app.py": "import unittest\n\nimport app\n\n\nclass LoadTest(unittest.TestCase):\n    def test_load(self):\n"
    '        self.assertEqual(app.load("a"), "A")\n',
    **{f"package/module_{number}.py": f"VALUE = {number}\n" * 40 for number in range(60)},
}
TEST = "python3 -m unittest -q"


Moment = tuple[float, float]
"""Seconds of wall time and of CPU, without the model's and the commands'."""


@dataclass
class Clock:
    model_s: float = 0.0
    command_s: float = 0.0
    command_cpu_s: float = 0.0
    asked: list[Moment] = field(default_factory=list)
    began: Moment = (0.0, 0.0)
    ended: Moment = (0.0, 0.0)

    def clear(self) -> None:
        self.asked.clear()

    def now(self) -> Moment:
        used = cpu_s(resource.RUSAGE_SELF) + cpu_s(resource.RUSAGE_CHILDREN)
        return (time.perf_counter() - self.model_s - self.command_s, used - self.model_s - self.command_cpu_s)

    def step(self, steps: int) -> tuple[float, float]:
        """Milliseconds of wall time and of CPU a step, from the first question to the loop's end."""
        wall, cpu = (after - before for before, after in zip(self.asked[0], self.ended, strict=True))
        return wall * 1000 / steps, cpu * 1000 / steps

    def gaps(self) -> list[tuple[float, float]]:
        """Milliseconds of wall time and of CPU from question to question."""
        return [((after[0] - before[0]) * 1000, (after[1] - before[1]) * 1000) for before, after in pairwise(self.asked)]


class Scripted(BaseChatModel):
    """A provider's client that has its answers already."""

    answers: Any
    clock: Any

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        return self.bind()

    def _generate(self, messages: list[BaseMessage], *arguments: Any, **kwargs: Any) -> ChatResult:
        raise NotImplementedError

    async def _astream(self, messages: list[BaseMessage], *arguments: Any, **kwargs: Any) -> AsyncIterator[ChatGenerationChunk]:
        began = time.perf_counter()
        self.clock.asked.append(self.clock.now())
        said: AIMessage = next(self.answers)
        chunk = AIMessageChunk(
            content=said.content,
            tool_call_chunks=[
                {"name": call["name"], "args": json.dumps(call["args"]), "id": call["id"], "index": index, "type": "tool_call_chunk"}
                for index, call in enumerate(said.tool_calls)
            ],
            usage_metadata={"input_tokens": 1000, "output_tokens": 100, "total_tokens": 1100},
            response_metadata={"finish_reason": "stop"},
        )
        self.clock.model_s += time.perf_counter() - began
        yield ChatGenerationChunk(message=chunk)


@dataclass(frozen=True)
class Reached:
    """Implements `Client`."""

    scripted: Scripted
    secrets: tuple[str, ...] = ()
    own_key: bool = False

    def open(self) -> BaseChatModel:
        return self.scripted

    async def refresh(self) -> None:
        return


@dataclass(frozen=True)
class ScriptedModel:
    """Implements `ModelPort` as `ChosenModel` does, with a scripted client."""

    clock: Clock
    answers: Sequence[AIMessage]
    name: str = "openai:scripted"

    def bind(self, spend: Spend) -> BaseChatModel:
        client = Scripted(answers=iter(self.answers), clock=self.clock)
        candidate = Candidate(ModelName("openai", "scripted"), Reached(client), Price(input=1, output=1))
        return GuardedChatModel(candidates=(candidate,), spend=spend, profile={"structured_output": False})


def call(number: int, name: str, **args: Any) -> AIMessage:
    return AIMessage("", tool_calls=[{"name": name, "args": args, "id": f"call_{number}", "type": "tool_call"}])


def short() -> list[AIMessage]:
    return [
        call(1, "read_file", path="app.py"),
        call(2, "edit_file", path="app.py", old="path.upper()", new="path.strip().upper()"),
        call(3, "run_command", command=TEST),
        AIMessage("The path is stripped."),
    ]


def long() -> list[AIMessage]:
    said = []
    for number in range(LONG - 1):
        match number % 3:
            case 0:
                before, after = (f"return path.upper()  # {value}" if value else "return path.upper()" for value in (number, number + 3))
                said.append(call(number, "edit_file", path="app.py", old=before, new=after))
            case 1:
                said.append(call(number, "run_command", command=TEST))
            case _:
                said.append(call(number, "read_file", path=f"package/module_{number}.py"))
    return [*said, AIMessage("Done.")]


def cpu_s(who: int) -> float:
    used = resource.getrusage(who)
    return used.ru_utime + used.ru_stime


def watch_commands(clock: Clock, sandbox_class: Any) -> None:
    """Take the time of a model's commands; our own tools and checks in the sandbox are the harness's."""
    original = sandbox_class.run

    async def run(self: Sandbox, command: Command, *more: Any) -> Any:
        if command.argv[-1] != TEST:
            return await original(self, command, *more)
        began, children = time.perf_counter(), cpu_s(resource.RUSAGE_CHILDREN)
        try:
            return await original(self, command, *more)
        finally:
            clock.command_s += time.perf_counter() - began
            clock.command_cpu_s += cpu_s(resource.RUSAGE_CHILDREN) - children

    sandbox_class.run = run


def watch_loop(clock: Clock) -> None:
    """Note when the loop ends; what comes before its first question and after its end are no steps."""
    coder: Any = by_model
    original = coder.run_loop

    async def run_loop(*arguments: Any, **named: Any) -> Any:
        clock.began = clock.now()
        end = await original(*arguments, **named)
        clock.ended = clock.now()
        return end

    coder.run_loop = run_loop


async def one_task(resources: Resources, clock: Clock, repository: Path, answers: Sequence[AIMessage]) -> None:
    """The coder's work on a plan, under a lease, as a worker does it."""
    clock.clear()
    info = await resources.forge.inspect(str(repository))
    draft = TaskDraft(user_id="local", prompt="Strip the path", title="Strip the path", repo=info.repo, workflow="feature_dev")
    async with resources.database.transaction() as tx:
        task = await TaskService(resources).create(tx, draft)
    resources.models = ScriptedModel(clock, answers)
    claimed = await claim(resources, task.id)
    assert claimed is not None
    task, run = claimed
    lease = Lease(resources.database, task.id, run.epoch, run.thread_id)
    context = await build_context(resources, lease, await pin_base(resources, lease, task))
    plan = Plan(summary="Strip the path", steps=[PlanStep(id="1", title="Strip it", files=["app.py"])])
    state: Any = {"base_commit": info.head_commit, "plan": plan.model_dump(mode="json")}
    await build_coder_graph().compile().ainvoke(state, context=context, config={"configurable": {"thread_id": task.id}})
    async with resources.database.transaction() as tx:
        await lease.let_go(tx, "ended")
        await tasks.update(tx, task.id, status=TaskStatus.COMPLETED)


def make_repository(folder: Path) -> Path:
    for path, text in FILES.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    for arguments in (["init", "-q", "-b", "main"], ["add", "-A"], ["-c", "user.name=B", "-c", "user.email=b@l", "commit", "-qm", "b"]):
        subprocess.run(["git", *arguments], cwd=folder, check=True)
    return folder


async def sandbox_ms(resources: Resources, folder: Path) -> float:
    """What the sandbox adds to a command that does nothing."""
    provider = await resources.sandbox()
    sandbox = await provider.open(SandboxSpec(folder, "bench"))
    inside, bare = [], []
    for _ in range(15):
        began = time.perf_counter()
        await sandbox.run(Command(["true"]))
        inside.append(time.perf_counter() - began)
        began = time.perf_counter()
        await (await asyncio.create_subprocess_exec("true")).wait()
        bare.append(time.perf_counter() - began)
    await sandbox.aclose()
    return (percentile(inside, 0.5) - percentile(bare, 0.5)) * 1000


async def main() -> None:
    clock = Clock()
    watch_loop(clock)
    with data_folder() as data:
        repository = make_repository(data / "repository")
        async with open_resources(Settings(data_dir=data / "data"), worker=False) as resources:
            watch_commands(clock, type(await (await resources.sandbox()).open(SandboxSpec(repository, "bench"))))
            await one_task(resources, clock, repository, short())
            runs = []
            for _ in range(RUNS):
                await one_task(resources, clock, repository, short())
                runs.append(clock.step(4))
            long_runs = []
            for _ in range(LONG_RUNS):
                await one_task(resources, clock, repository, long())
                long_runs.append((clock.step(LONG), clock.gaps()))
            sandbox = await sandbox_ms(resources, repository)
    wall, cpu = ([percentile([gaps[at][kind] for _, gaps in long_runs], 0.5) for at in range(LONG - 1)] for kind in (0, 1))
    tell(
        "harness",
        step_ms=round(percentile([step[0] for step in runs], 0.5), 1),
        step_cpu_ms=round(percentile([step[1] for step in runs], 0.5), 1),
        long_step_ms=round(percentile([step[0] for step, _ in long_runs], 0.5), 1),
        long_step_cpu_ms=round(percentile([step[1] for step, _ in long_runs], 0.5), 1),
        first_ms=round(sum(wall[:9]) / 9, 1),
        last_ms=round(sum(wall[-9:]) / 9, 1),
        growth=round(sum(wall[-9:]) / sum(wall[:9]), 2),
        cpu_growth=round(sum(cpu[-9:]) / sum(cpu[:9]), 2),
        sandbox_ms=round(sandbox, 1),
    )


if __name__ == "__main__":
    asyncio.run(main())
