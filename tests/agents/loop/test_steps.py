"""A loop that is interrupted goes on behind its last kept step: nothing that was kept is asked or done again."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage
from langchain_core.tools import BaseTool, StructuredTool
from langgraph.errors import GraphDrained
from pydantic import BaseModel

from agents.context import Step, TaskContext
from agents.loop.agent import LoopEnd, LoopLimits, run_loop
from agents.loop.steps import Stopping, never, open_steps
from shared.errors import TaskFailedError
from shared.models.port import BudgetReached, ModelError, Usage
from tests.agents.scripted_model import Free, MemorySteps, ScriptedModel, call, calls, say

ROUNDS = (
    call("note", text="one"),
    calls(("note", {"text": "two"}), ("note", {"text": "three"})),
    say(""),
    call("gone", text="x"),
    say("done"),
)


class Interrupted(Exception):
    """As a kill: nothing after it happens."""


class Verdict(BaseModel):
    good: bool


@dataclass
class FragileSteps(MemorySteps):
    """Interrupts around the `at`th time something is kept: `before` it, or after."""

    at: int = 0
    before: bool = False
    kept: int = 0

    async def keep(self, piece: str, step: Step, **more: Any) -> bool:
        self.kept += 1
        if self.kept == self.at and self.before:
            raise Interrupted
        whole = await super().keep(piece, step, **more)
        if self.kept == self.at:
            raise Interrupted
        return whole


@dataclass
class Told:
    words: list[str] = field(default_factory=list)

    async def all(self) -> list[str]:
        return list(self.words)


@dataclass
class Paid(Free):
    usages: list[Usage] = field(default_factory=list)

    async def after(self, model: str, usage: Usage) -> None:
        self.usages.append(usage)


@dataclass
class Life:
    """What outlives an interruption: the kept steps, the bill, what people said; and what the tools did."""

    steps: FragileSteps
    spend: Paid
    remarks: Told = field(default_factory=Told)
    hint: str | None = None
    noted: list[str] = field(default_factory=list)
    asked: list[list[BaseMessage]] = field(default_factory=list)

    @classmethod
    def new(cls) -> Life:
        spend = Paid()
        return cls(FragileSteps(spend), spend)

    def tool(self) -> BaseTool:
        async def note(text: str) -> str:
            """Note a text."""
            self.noted.append(text)
            return f"noted {text}"

        return StructuredTool.from_function(coroutine=note)

    def model(self) -> ScriptedModel:
        """Answers by what it is asked, as a model does."""

        def answer(messages: list[BaseMessage], tools: list[str]) -> AIMessage:
            self.asked.append(list(messages))
            return ROUNDS[sum(message.type == "ai" for message in messages)]

        return ScriptedModel(answer)

    async def live(self, model: ScriptedModel | None = None, stopping: Stopping = never, **more: Any) -> LoopEnd:
        handles = SimpleNamespace(
            models=model or self.model(),
            spend=self.spend,
            steps=self.steps,
            remarks=self.remarks,
            task=SimpleNamespace(request={"hint": self.hint}),
        )
        context = cast(TaskContext, handles)
        async with open_steps(context, {"work": "note"}, stopping) as steps:
            messages = steps.opening or steps.begin([HumanMessage("go")], {"remarks": len(self.remarks.words), "hint": self.hint})
            return await run_loop(context, steps=steps, tools=[self.tool()], system="Note.", messages=messages, **more)


def contents(end: LoopEnd) -> list[tuple[str, Any]]:
    return [(message.type, message.content) for message in end.messages]


async def test_a_loop_keeps_each_answer_and_each_round() -> None:
    life = Life.new()
    await life.live()
    assert [step.messages[-1]["type"] for step in life.steps.steps] == ["ai", "tool", "ai", "tool", "ai", "ai", "tool", "ai"]
    assert life.steps.watched == ["note", "note; note", "gone"]
    assert len(life.spend.usages) == len(ROUNDS)


@pytest.mark.parametrize("at", range(1, 9))
async def test_behind_a_kept_step_nothing_is_asked_or_done_again(at: int) -> None:
    undisturbed = await Life.new().live()
    life = Life.new()
    life.steps.at = at
    with pytest.raises(Interrupted):
        await life.live()
    assert contents(await life.live()) == contents(undisturbed)
    assert len(life.asked) == len(ROUNDS)
    assert life.noted == ["one", "two", "three"]
    assert len(life.spend.usages) == len(ROUNDS)
    assert life.steps.watched == ["note", "note; note", "gone"]


@pytest.mark.parametrize("at", range(1, 9))
async def test_what_was_not_kept_is_asked_or_done_again_and_only_that(at: int) -> None:
    life = Life.new()
    life.steps.at, life.steps.before = at, True
    with pytest.raises(Interrupted):
        await life.live()
    end = await life.live()
    assert end.text == "done"
    answers = at in (1, 3, 5, 6, 8)
    assert len(life.asked) == len(ROUNDS) + answers
    assert len(life.noted) == 3 + {2: 1, 4: 2}.get(at, 0)


async def test_steps_of_another_piece_are_not_gone_on_with() -> None:
    life = Life.new()
    life.steps.at = 3
    with pytest.raises(Interrupted):
        await life.live()
    assert await life.steps.read("another") == []


async def test_a_reached_budget_an_unknown_price_and_a_provider_that_fails_keep_the_steps() -> None:
    for error in (BudgetReached("enough"), TaskFailedError("what does it cost?", code="price_unknown"), ModelError("down")):
        life = Life.new()

        def fail(messages: list[BaseMessage], tools: list[str], error: Exception = error) -> AIMessage:
            if sum(message.type == "ai" for message in messages) == 2:
                raise error
            return ROUNDS[sum(message.type == "ai" for message in messages)]

        with pytest.raises(TaskFailedError):
            await life.live(ScriptedModel(fail))
        await life.live()
        assert len(life.asked) == len(ROUNDS) - 2
        assert life.noted == ["one", "two", "three"]


async def test_what_the_model_itself_brought_to_an_end_begins_anew() -> None:
    life = Life.new()
    with pytest.raises(TaskFailedError) as caught:
        await life.live(limits=LoopLimits(model_calls=2))
    assert caught.value.code == "model_steps"
    assert life.steps.steps == []


async def test_limits_count_what_was_before_the_interruption() -> None:
    life = Life.new()
    life.steps.at = 3
    with pytest.raises(Interrupted):
        await life.live(limits=LoopLimits(model_calls=3))
    with pytest.raises(TaskFailedError) as caught:
        await life.live(limits=LoopLimits(model_calls=3))
    assert caught.value.code == "model_steps"
    assert len(life.asked) == 3


async def test_a_drain_ends_it_at_the_next_step_and_it_goes_on_there() -> None:
    life = Life.new()
    for number in range(1, len(ROUNDS)):

        def stopping(number: int = number) -> bool:
            return len(life.asked) >= number

        with pytest.raises(GraphDrained):
            await life.live(stopping=stopping)
        assert len(life.asked) <= number + 1
    assert (await life.live()).text == "done"
    assert (len(life.asked), life.noted) == (len(ROUNDS), ["one", "two", "three"])


async def test_what_cannot_all_be_kept_is_not_stopped() -> None:
    life = Life.new()
    life.steps.limit = 1
    end = await life.live(stopping=lambda: len(life.asked) > 1)
    assert end.text == "done"


async def test_a_remark_is_heard_once_however_often_it_is_interrupted() -> None:
    life = Life.new()
    life.remarks.words.append("known before")
    for at in (2, 1, 2):
        life.steps.at, life.steps.kept = at, 0
        with pytest.raises(Interrupted):
            await life.live()
        if len(life.remarks.words) == 1:
            life.remarks.words.append("use the other file")
    life.steps.at = 0
    end = await life.live()
    assert [text for _, text in contents(end) if "other" in str(text)] == ["The person who asked for the work says: use the other file"]
    assert not any("known before" in str(text) for _, text in contents(end))


async def test_the_hint_of_a_retry_reaches_a_model_that_goes_on_once() -> None:
    life = Life.new()
    for at, hint in ((3, None), (1, "mind the case"), (2, "mind the case")):
        life.steps.at, life.steps.kept, life.hint = at, 0, hint
        with pytest.raises(Interrupted):
            await life.live()
    life.steps.at = 0
    end = await life.live()
    assert sum("mind the case" in str(text) for _, text in contents(end)) == 1


async def test_a_structured_answer_is_read_again_from_what_was_kept() -> None:
    from langchain.agents.structured_output import ToolStrategy

    life = Life.new()
    life.steps.at = 3
    answers = [call("note", text="one"), call("Verdict", good=True)]
    asked = ScriptedModel(lambda messages, tools: answers[sum(message.type == "ai" for message in messages)])
    with pytest.raises(Interrupted):
        await life.live(asked, answer=ToolStrategy(Verdict))
    end = await life.live(asked, answer=ToolStrategy(Verdict))
    assert end.structured == Verdict(good=True)
    assert len(asked.seen) == 2
