"""How a model misbehaves on the wire of each provider, through its real client: every way has a clear ending with a next step."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import HumanMessage
from langchain_core.tools import StructuredTool

from agents.context import TaskContext
from agents.loop.agent import LoopEnd, run_loop, said
from agents.loop.steps import open_steps
from config.settings import load_settings
from shared.errors import TaskFailedError
from shared.models.guarded import GuardedChatModel, Patience
from shared.models.port import ModelPort, Spend
from shared.models.registry import choose_model
from shared.types import Json
from tests.agents.scripted_model import Free, MemorySteps
from tests.shared.models.conftest import KEY, STAND_INS
from tests.stand_ins.openai import OpenAIStandIn
from tests.stand_ins.script import Answer, Call, Refusal, StandIn, serving

RESPONSES = "openai-responses"
NAMES = {RESPONSES: "gpt-6-codex"}
"""OpenAI's newer models call tools by another protocol."""


@dataclass
class Wire:
    """A provider's stand-in, and the model as the task has it. `name` is one of the wires, not of the providers."""

    name: str
    stand_in: StandIn
    model: ModelPort
    patience: Patience = field(default_factory=lambda: Patience(silence_s=5, total_s=2, first_wait_s=0.05))

    def bind(self, spend: Spend) -> BaseChatModel:
        bound = self.model.bind(spend)
        assert isinstance(bound, GuardedChatModel)
        return bound.model_copy(update={"patience": self.patience})

    def asked(self, number: int) -> str:
        """What the provider was sent in a call."""
        return str(self.stand_in.bodies[number])


@pytest.fixture(params=[*STAND_INS, RESPONSES])
async def wire(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Wire]:
    name = str(request.param)
    kind, key, url = STAND_INS.get(name, (OpenAIStandIn, "OPENAI_API_KEY", "OPENAI_BASE_URL"))
    model = NAMES.get(name, "big")
    async with serving(kind(KEY, models=(model,))) as stand_in:
        settings = load_settings({key: KEY, url: stand_in.base_url, "PERSEVERE_DATA_DIR": str(tmp_path)})
        chosen = choose_model(f"{name.removesuffix('-responses')}:{model}", settings)
        assert chosen is not None
        yield Wire(name, stand_in, chosen)


async def look(path: str) -> str:
    """Look at a file."""
    return f"the text of {path}"


async def run(wire: Wire, *turns: Any) -> LoopEnd:
    wire.stand_in.say(*turns)
    handles = SimpleNamespace(models=wire, spend=Free(), steps=MemorySteps(Free()), remarks=None, task=SimpleNamespace(request={}))
    context = cast(TaskContext, handles)
    async with open_steps(context, {"work": "look"}) as steps:
        messages = steps.begin([HumanMessage("go")], {"remarks": 0, "hint": None})
        tools = [StructuredTool.from_function(coroutine=look)]
        return await run_loop(context, steps=steps, tools=tools, system="You look.", messages=messages, tell=said)


async def fails(wire: Wire, *turns: Any) -> TaskFailedError:
    with pytest.raises(TaskFailedError) as caught:
        await run(wire, *turns)
    error = caught.value
    assert error.message.endswith("."), error.message
    assert error.next_step.endswith("."), error.next_step
    assert KEY not in error.message + error.next_step
    return error


def looks(path: str = "a", **more: Any) -> Answer:
    return Answer(calls=(Call("look", {"path": path}, **more),))


def malformed(wire: Wire) -> Answer:
    """Arguments that are no JSON. Google's server parses them itself and says so as its reason to stop."""
    if wire.name == "google_genai":
        return Answer(stop="MALFORMED_FUNCTION_CALL")
    return looks(raw='{"path": "a", ')


DONE = Answer(("All is well.",))


async def test_a_malformed_call_is_told_and_may_be_repaired(wire: Wire) -> None:
    assert (await run(wire, malformed(wire), looks(), DONE)).text == "All is well."
    assert len(wire.stand_in.bodies) == 3
    assert "the text of a" in wire.asked(2)


async def test_malformed_calls_without_end(wire: Wire) -> None:
    error = await fails(wire, malformed(wire), malformed(wire), malformed(wire))
    assert error.code == "model_unusable"
    told = "it was empty." if wire.name == "google_genai" else "the arguments of look are not valid JSON."
    assert error.message == f"The model gave 3 unusable answers in a row. The last one: {told}"


async def test_a_malformed_call_beside_a_good_one(wire: Wire) -> None:
    both = Answer(calls=(Call("look", {"path": "a"}), Call("look", {}, raw="{]"))) if wire.name != "google_genai" else malformed(wire)
    assert (await run(wire, both, DONE)).text == "All is well."


async def test_arguments_that_do_not_fit(wire: Wire) -> None:
    assert (await run(wire, Answer(calls=(Call("look", {"file": "a"}),)), looks(), DONE)).text == "All is well."
    assert "path" in wire.asked(1)


async def test_an_unknown_tool_is_told_and_may_be_repaired(wire: Wire) -> None:
    assert (await run(wire, Answer(calls=(Call("sudo", {"command": "ls"}),)), looks(), DONE)).text == "All is well."
    assert "not a valid tool" in wire.asked(1)


async def test_unknown_tools_without_end(wire: Wire) -> None:
    error = await fails(wire, *(Answer(calls=(Call("sudo", {"number": number}),)) for number in range(3)))
    assert (error.code, "sudo" in error.message) == ("model_unusable", True)


async def test_an_empty_answer_is_asked_about(wire: Wire) -> None:
    assert (await run(wire, Answer(), Answer((" ",)), DONE)).text == "All is well."
    assert "Your answer was empty" in wire.asked(1)


async def test_empty_answers_without_end(wire: Wire) -> None:
    assert (await fails(wire, Answer(), Answer(), Answer())).code == "model_unusable"


async def test_a_refusal_ends_it_at_once(wire: Wire) -> None:
    error = await fails(wire, Answer(refusal="I will not help with that."))
    assert error.code == "model_refused"
    assert "I will not help with that." in error.message or wire.name == "google_genai"
    assert len(wire.stand_in.bodies) == 1


FILTERED = {"anthropic": "refusal", "google_genai": "SAFETY"}


async def test_a_provider_s_filter_ends_it_at_once(wire: Wire) -> None:
    assert (await fails(wire, Answer(("I",), stop=FILTERED.get(wire.name, "content_filter")))).code == "model_refused"


async def test_a_model_that_loops(wire: Wire) -> None:
    error = await fails(wire, *(looks() for _ in range(4)))
    assert (error.code, "in circles" in error.message) == ("model_loops", True)


async def test_a_model_that_loops_in_two_steps(wire: Wire) -> None:
    assert (await fails(wire, *(looks("ab"[number % 2]) for number in range(8)))).code == "model_loops"


CUT = {"anthropic": "max_tokens", "google_genai": "MAX_TOKENS", RESPONSES: "max_output_tokens"}


async def test_an_answer_that_its_length_cut_off_goes_on(wire: Wire) -> None:
    assert (await run(wire, Answer(("I will",), stop=CUT.get(wire.name, "length")), DONE)).text == "All is well."
    assert "cut off because it was too long" in wire.asked(1)


async def test_a_call_that_its_length_cut_off_is_not_made(wire: Wire) -> None:
    """Half the text of a file must not be written."""
    if wire.name == "google_genai":
        cut = Answer(stop="MAX_TOKENS")
    else:
        cut = replace(looks(raw='{"path": "half'), stop=CUT.get(wire.name, "length"))
    assert (await run(wire, cut, looks("whole"), DONE)).text == "All is well."
    assert "the text of half" not in wire.asked(2)
    assert "the text of whole" in wire.asked(2)


@pytest.mark.parametrize("after", [1, 2, 3])
async def test_a_stream_cut_in_the_middle_of_a_call(wire: Wire, after: int) -> None:
    if wire.name == "google_genai":
        cut = Answer(("Let ", "me ", "look. "), (Call("look", {"path": "a"}),), cut_after=after)
    else:
        cut = replace(looks(), texts=("Let me look. ",), cut_after=after)
    assert (await run(wire, cut, looks(), DONE)).text == "All is well."
    assert wire.stand_in.calls == 3


async def test_a_stream_that_is_always_cut(wire: Wire) -> None:
    wire.patience = Patience(silence_s=5, total_s=0.03, first_wait_s=0.02)
    wire.stand_in.say(*(replace(DONE, texts=("a", "b", "c"), cut_after=1) for _ in range(20)))
    error = await fails(wire)
    wire.stand_in.script.clear()
    assert (error.code, "broke off" in error.message or "reached" in error.message) == ("model_unavailable", True)


async def test_a_provider_that_is_down_for_a_while(wire: Wire) -> None:
    """As long as its patience lasts (two minutes, here two seconds) it is asked again, ever less often."""
    began: list[float] = []

    def down(_: Json) -> Answer | Refusal:
        began.append(time.monotonic())
        if began[-1] > began[0] + 0.5:
            return DONE
        wire.stand_in.script.insert(0, down)
        return Refusal(503, message="down for maintenance")

    assert (await run(wire, looks(), down)).text == "All is well."
    assert 3 <= len(began) <= 12


async def test_a_provider_that_cannot_be_reached_for_a_while(wire: Wire) -> None:
    """Its server is stopped, and started again at the same place."""
    await wire.stand_in.stop()
    going = asyncio.create_task(run(wire, DONE))
    await asyncio.sleep(0.7)
    assert not going.done()
    await wire.stand_in.start()
    assert (await going).text == "All is well."


async def test_a_provider_that_stays_away(wire: Wire) -> None:
    wire.patience = Patience(silence_s=5, total_s=0.2, first_wait_s=0.05)
    await wire.stand_in.stop()
    error = await fails(wire)
    assert error.code == "model_unavailable"
    assert "retry the task" in error.next_step.lower()
    await wire.stand_in.start()
