"""How a model's loop ends, whatever the model does."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest
from langchain_core.messages import AIMessage, HumanMessage
from langchain_core.tools import BaseTool, StructuredTool

from agents.context import TaskContext
from agents.loop.agent import LoopEnd, LoopLimits, run_loop, said
from agents.loop.steps import Stopping, never, open_steps
from shared.errors import InvalidRequestError, TaskFailedError
from shared.models.port import BudgetReached
from shared.types import Json
from tests.agents.scripted_model import Free, MemorySteps, ScriptedModel, call, calls, say, script


@dataclass
class Told:
    words: list[str] = field(default_factory=list)

    async def all(self) -> list[str]:
        return list(self.words)


@dataclass
class Handles:
    models: ScriptedModel
    spend: Any = field(default_factory=Free)
    remarks: Told = field(default_factory=Told)
    steps: MemorySteps = field(default_factory=lambda: MemorySteps(Free()))
    rounds: list[list[Json]] = field(default_factory=list)
    task: Any = field(default_factory=lambda: SimpleNamespace(request={}))


async def look(path: str) -> str:
    """Look at a file."""
    if path == "missing":
        raise InvalidRequestError("There is no missing.", "Look at another one.")
    return f"the text of {path}"


def tool() -> BaseTool:
    return StructuredTool.from_function(coroutine=look)


async def run(handles: Handles, *, known: int = 0, stopping: Stopping = never, **more: Any) -> LoopEnd:
    """`known`: how many remarks the first message has."""

    def tell(calls_made: list[Json]) -> str:
        handles.rounds.append(calls_made)
        return said(calls_made)

    context = cast(TaskContext, handles)
    async with open_steps(context, {"work": "look"}, stopping) as steps:
        messages = steps.opening or steps.begin([HumanMessage("go")], {"remarks": known, "hint": None})
        return await run_loop(context, steps=steps, tools=[tool()], system="You look.", messages=messages, tell=tell, **more)


async def fails(*answers: AIMessage, **more: Any) -> TaskFailedError:
    with pytest.raises(TaskFailedError) as caught:
        await run(Handles(script(*answers)), **more)
    assert caught.value.next_step
    return caught.value


async def test_it_ends_with_an_answer_without_a_call() -> None:
    handles = Handles(script(call("look", path="a"), say("done")))
    end = await run(handles)
    assert end.text == "done"
    assert handles.rounds == [[{"name": "look", "args": {"path": "a"}}]]
    assert handles.models.seen[1][-1].content == "the text of a"
    assert handles.spend.calls == 2


async def test_what_a_tool_cannot_do_is_told_with_what_to_do_instead() -> None:
    handles = Handles(script(call("look", path="missing"), say("done")))
    await run(handles)
    assert handles.models.seen[1][-1].content == "Error: There is no missing. Look at another one."


def malformed() -> AIMessage:
    return AIMessage(
        "", invalid_tool_calls=[{"name": "look", "args": '{"path": ', "id": "c1", "error": "cut", "type": "invalid_tool_call"}]
    )


async def test_a_malformed_call_is_told_and_may_be_repaired() -> None:
    handles = Handles(script(malformed(), call("look", path="a"), say("done")))
    assert (await run(handles)).text == "done"
    assert "not valid JSON" in str(handles.models.seen[1][-1].content)


async def test_malformed_calls_without_end_end_it() -> None:
    assert (await fails(malformed(), malformed(), malformed())).code == "model_unusable"


async def test_wrong_arguments_are_told() -> None:
    handles = Handles(script(call("look", file="a"), say("done")))
    await run(handles)
    assert "path" in str(handles.models.seen[1][-1].content)


async def test_an_unknown_tool_is_told_with_the_names_there_are() -> None:
    handles = Handles(script(call("sudo", path="a"), say("done")))
    await run(handles)
    assert "look" in str(handles.models.seen[1][-1].content)


async def test_unknown_tools_without_end_end_it() -> None:
    error = await fails(*(call("sudo", number=number) for number in range(9)))
    assert (error.code, "sudo" in error.message) == ("model_unusable", True)


async def test_an_empty_answer_is_asked_about_and_then_ends_it() -> None:
    handles = Handles(script(say(""), say("done")))
    assert (await run(handles)).text == "done"
    assert (await fails(say(""), say(" "), say(""))).code == "model_unusable"


async def test_an_answer_that_was_cut_goes_on() -> None:
    handles = Handles(script(say("I will now", response_metadata={"finish_reason": "length"}), say("done")))
    assert (await run(handles)).text == "done"


@pytest.mark.parametrize(
    "refusal",
    [
        say("", additional_kwargs={"refusal": "I cannot help with that."}),
        say("No.", response_metadata={"stop_reason": "refusal"}),
        say("", response_metadata={"finish_reason": "content_filter"}),
        say("", response_metadata={"finish_reason": "SAFETY"}),
    ],
    ids=["openai", "anthropic", "filter", "google"],
)
async def test_a_refusal_ends_it_in_its_own_words(refusal: AIMessage) -> None:
    assert (await fails(refusal)).code == "model_refused"


async def test_the_same_call_over_and_over_ends_it() -> None:
    assert (await fails(*(call("look", path="a") for _ in range(9)))).code == "model_loops"


async def test_two_calls_in_turn_over_and_over_end_it() -> None:
    assert (await fails(*(call("look", path="ab"[number % 2]) for number in range(20)))).code == "model_loops"


async def test_a_model_that_never_finishes_runs_into_its_limits() -> None:
    limits = LoopLimits(model_calls=5, tool_calls=100)
    assert (await fails(*(call("look", path=str(number)) for number in range(9)), limits=limits)).code == "model_steps"
    limits = LoopLimits(model_calls=50, tool_calls=5)
    many = [calls(*(("look", {"path": f"{round_}/{number}"}) for number in range(3))) for round_ in range(5)]
    assert (await fails(*many, limits=limits)).code == "model_steps"


async def test_what_is_said_meanwhile_reaches_the_next_step_once() -> None:
    def answer(messages: list[Any], tools: list[str]) -> AIMessage:
        if len(handles.models.seen) == 1:
            handles.remarks.words.append("use the other file")
            return call("look", path="a")
        return call("look", path="b") if len(handles.models.seen) == 2 else say("done")

    handles = Handles(ScriptedModel(answer), remarks=Told(["known before"]))
    await run(handles, known=1)
    heard = [str(message.content) for message in handles.models.seen[-1] if message.type == "human"]
    assert heard == ["go", "The person who asked for the work says: use the other file"]
    assert handles.models.seen[1][-1].type == "human"


async def test_a_budget_that_is_reached_is_what_is_told() -> None:
    class Broke(Free):
        async def before(self) -> None:
            raise BudgetReached("The task has spent 2 USD.", "Give it more.")

    with pytest.raises(BudgetReached):
        await run(Handles(script(say("done")), spend=Broke()))


async def test_a_cancel_reaches_the_call_that_is_being_made() -> None:
    waiting, stopped = asyncio.Event(), asyncio.Event()

    class Hanging(Free):
        async def before(self) -> None:
            waiting.set()
            try:
                await asyncio.sleep(60)
            finally:
                stopped.set()

    going = asyncio.create_task(run(Handles(script(), spend=Hanging())))
    async with asyncio.timeout(10):
        await waiting.wait()
        going.cancel()
        with pytest.raises(asyncio.CancelledError):
            await going
    assert stopped.is_set()
