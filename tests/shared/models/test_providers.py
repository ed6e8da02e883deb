"""One list of behaviours for every provider, each through its real client."""

from __future__ import annotations

import asyncio
import logging
import time

import pytest
from langchain.agents import create_agent
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage
from langchain_core.tools import tool
from pydantic import BaseModel

from shared.models.port import BudgetReached, ModelError, Usage
from tests.shared.models.conftest import KEY, Bench
from tests.stand_ins.script import Answer, Call, Refusal


@tool
def look(path: str) -> str:
    """Read a file."""
    return f"{path} is empty"


async def test_an_answer_arrives_whole_with_its_usage_and_cost(bench: Bench) -> None:
    bench.stand_in.say(Answer(("Hel", "lo"), input_tokens=1000, output_tokens=200, cached=400))
    answer = await bench.model().ainvoke([SystemMessage("be brief"), HumanMessage("hi")])
    assert isinstance(answer, AIMessage)
    assert answer.text == "Hello"
    assert (bench.ledger.asked, len(bench.ledger.told)) == (1, 1)
    name, usage = bench.ledger.told[0]
    assert name == f"{bench.provider}:big"
    assert (usage.input_tokens, usage.output_tokens) == (1000, 200)
    assert usage.cost_usd == pytest.approx((600 * 1 + 400 * 0.1 + 200 * 10) / 1e6)


async def test_a_model_without_a_price_has_an_unknown_cost(bench: Bench) -> None:
    bench.stand_in.say(Answer(("x",)))
    await bench.model("small").ainvoke("hi")
    assert bench.ledger.told == [(f"{bench.provider}:small", Usage(100, 20, None))]


async def test_pieces_arrive_as_they_are_made(bench: Bench) -> None:
    bench.stand_in.say(Answer(("one ", "two ", "three")))
    pieces = [chunk.text async for chunk in bench.model().astream("count") if isinstance(chunk, AIMessageChunk)]
    assert [piece for piece in pieces if piece] == ["one ", "two ", "three"]
    assert bench.ledger.told[0][1].output_tokens == 20


async def test_an_agent_calls_tools_and_ends(bench: Bench) -> None:
    bench.stand_in.say(
        Answer(("I look. ",), (Call("look", {"path": "a.py"}), Call("look", {"path": "b.py"}))),
        Answer(("Both are empty.",)),
    )
    agent = create_agent(bench.model(), [look], system_prompt="You look at files.")
    ended = await agent.ainvoke({"messages": [HumanMessage("look at both")]})
    assert ended["messages"][-1].text == "Both are empty."
    assert [message.content for message in ended["messages"] if message.type == "tool"] == ["a.py is empty", "b.py is empty"]
    assert len(bench.ledger.told) == 2


class Verdict(BaseModel):
    """What was found."""

    ok: bool
    reason: str


async def test_a_structured_answer_is_a_tool_call_everywhere(bench: Bench) -> None:
    bench.stand_in.say(Answer(calls=(Call("Verdict", {"ok": True, "reason": "fine"}),)))
    agent = create_agent(bench.model(), [], response_format=Verdict)
    ended = await agent.ainvoke({"messages": [HumanMessage("judge")]})
    assert ended["structured_response"] == Verdict(ok=True, reason="fine")


async def test_structured_output_without_an_agent(bench: Bench) -> None:
    bench.stand_in.say(Answer(calls=(Call("Verdict", {"ok": False, "reason": "bad"}),)))
    assert await bench.model().with_structured_output(Verdict).ainvoke("judge") == Verdict(ok=False, reason="bad")


async def test_a_busy_provider_is_asked_again_when_it_says(bench: Bench) -> None:
    bench.stand_in.say(Refusal(429, "rate_limit_error", "slow down", (("Retry-After", "1"),)), Answer(("done",)))
    began = time.monotonic()
    assert (await bench.model().ainvoke("hi")).text == "done"
    assert 1 <= time.monotonic() - began < 2
    assert (bench.ledger.asked, bench.stand_in.calls) == (2, 2)


async def test_a_wait_longer_than_our_patience_is_not_begun(bench: Bench) -> None:
    bench.stand_in.say(Refusal(429, "rate_limit_error", "slow down", (("Retry-After", "3600"),)))
    with pytest.raises(ModelError) as caught:
        await bench.model().ainvoke("hi")
    assert caught.value.code == "model_rate_limited"
    assert caught.value.next_step


@pytest.mark.parametrize("status", [500, 503])
async def test_a_failing_server_is_tried_again(bench: Bench, status: int) -> None:
    bench.stand_in.say(Refusal(status), Refusal(status), Answer(("done",)))
    assert (await bench.model().ainvoke("hi")).text == "done"
    assert bench.stand_in.calls == 3


async def test_a_provider_that_stays_down_ends_clearly(bench: Bench) -> None:
    bench.stand_in.say(*[lambda _: Refusal(503) for _ in range(3)])
    with pytest.raises(ModelError) as caught:
        await bench.model(PERSEVERE_MODEL_PATIENCE_S="0.03").ainvoke("hi")
    bench.stand_in.script.clear()
    assert caught.value.code == "model_unavailable"
    assert f"{bench.provider}:big is not available: it answered 503." == caught.value.message


async def test_a_silent_stream_is_ended_and_tried_again(bench: Bench) -> None:
    bench.stand_in.say(Answer(("never ", "ending"), silent_after=1), Answer(("done",)))
    assert (await bench.model(PERSEVERE_MODEL_SILENCE_S="0.3").ainvoke("hi")).text == "done"


async def test_a_stream_that_stays_silent_says_so(bench: Bench) -> None:
    bench.stand_in.say(Answer(("never",), silent_after=0))
    with pytest.raises(ModelError) as caught:
        await bench.model(PERSEVERE_MODEL_SILENCE_S="0.2", PERSEVERE_MODEL_PATIENCE_S="0").ainvoke("hi")
    assert caught.value.code == "model_silent"
    assert "0.2 s" in caught.value.message


async def test_an_answer_that_breaks_off_is_asked_for_again(bench: Bench) -> None:
    bench.stand_in.say(Answer(("one ", "two ", "three"), cut_after=2), Answer(("whole",)))
    assert (await bench.model().ainvoke("hi")).text == "whole"


async def test_an_answer_without_its_end_is_no_answer(bench: Bench) -> None:
    bench.stand_in.say(Answer(("one ", "two ", "three"), end_after=2), Answer(("whole",)))
    assert (await bench.model().ainvoke("hi")).text == "whole"


async def test_a_cancelled_call_ends_at_once(bench: Bench) -> None:
    bench.stand_in.say(Answer(("never",), silent_after=0))
    call = asyncio.create_task(bench.model().ainvoke("hi"))
    while bench.stand_in.script:
        await asyncio.sleep(0.01)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(call, 2)


async def test_an_overload_that_is_told_inside_the_answer_is_tried_again(bench: Bench) -> None:
    bench.stand_in.say(Answer(("one ", "two ", "three"), fail_after=2), Answer(("whole",)))
    assert (await bench.model().ainvoke("hi")).text == "whole"


async def test_what_was_passed_on_is_not_said_twice(bench: Bench) -> None:
    bench.stand_in.say(Answer(("one ", "two ", "three", "four", "five"), cut_after=4))
    heard: list[str] = []

    async def listen() -> None:
        async for chunk in bench.model().astream("hi"):
            heard.append(chunk.text)

    with pytest.raises(ModelError) as caught:
        await listen()
    assert caught.value.code == "model_unavailable"
    assert "one " in heard


async def test_a_wrong_key_is_said_without_the_key(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    variable = next(name for name in bench.environment if name.endswith("_API_KEY"))
    wrong = "sk-wrong-9876543210zyxwvu"
    with caplog.at_level(logging.DEBUG), pytest.raises(ModelError) as caught:
        await bench.model(**{variable: wrong}).ainvoke("hi")
    assert caught.value.code == "model_key_rejected"
    assert variable in caught.value.next_step
    assert bench.stand_in.calls == 1
    said = " ".join([caught.value.message, caught.value.next_step, repr(caught.value.__cause__), caplog.text])
    assert wrong not in said


async def test_the_key_is_in_no_log(bench: Bench, caplog: pytest.LogCaptureFixture) -> None:
    bench.stand_in.say(Refusal(500, message=f"broken for {KEY}"), Answer(("done",)))
    with caplog.at_level(logging.DEBUG):
        model = bench.model()
        answer = await model.ainvoke("hi")
    assert KEY not in caplog.text + repr(model) + str(model._serialized) + answer.model_dump_json()


async def test_an_unknown_model_is_named(bench: Bench) -> None:
    with pytest.raises(ModelError) as caught:
        await bench.model("huge").ainvoke("hi")
    assert caught.value.code == "model_unknown"
    assert "'huge'" in caught.value.message
    bench.stand_in.faults.clear()


QUOTA = {
    "openai": Refusal(429, "insufficient_quota", "You exceeded your current quota, please check your plan and billing details."),
    "anthropic": Refusal(400, "invalid_request_error", "Your credit balance is too low to access the Anthropic API."),
    "google_genai": Refusal(429, "", "You exceeded your current quota, please check your plan and billing details."),
}
TOO_LONG = {
    "openai": Refusal(400, "context_length_exceeded", "This model's maximum context length is 128000 tokens."),
    "anthropic": Refusal(400, "invalid_request_error", "prompt is too long: 210000 tokens > 200000 maximum"),
    "google_genai": Refusal(400, "", "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."),
}


async def test_an_empty_account_is_not_tried_again(bench: Bench) -> None:
    bench.stand_in.say(QUOTA[bench.provider.removesuffix("-compatible")])
    with pytest.raises(ModelError) as caught:
        await bench.model().ainvoke("hi")
    assert (caught.value.code, bench.stand_in.calls) == ("model_quota", 1)


async def test_a_conversation_that_is_too_long_is_known_to_the_middleware(bench: Bench) -> None:
    from langchain_core.exceptions import ContextOverflowError

    bench.stand_in.say(TOO_LONG[bench.provider.removesuffix("-compatible")])
    with pytest.raises(ModelError) as caught:
        await bench.model().ainvoke("hi")
    assert caught.value.code == "model_context_too_long"
    assert isinstance(caught.value, ContextOverflowError)


async def test_a_rejected_request_says_what_the_provider_said(bench: Bench) -> None:
    bench.stand_in.say(Refusal(400, message=f"temperature is not supported, {KEY}"))
    with pytest.raises(ModelError) as caught:
        await bench.model().ainvoke("hi")
    assert caught.value.code == "model_request_rejected"
    assert "temperature is not supported" in caught.value.message
    assert KEY not in caught.value.message


async def test_a_fallback_answers_for_a_model_that_cannot(bench: Bench) -> None:
    bench.stand_in.say(Refusal(503), Answer(("from the small one",)))
    model = bench.model(PERSEVERE_MODEL_FALLBACKS=f"{bench.provider}:small", PERSEVERE_MODEL_PATIENCE_S="0")
    assert (await model.ainvoke("hi")).text == "from the small one"
    assert bench.ledger.told[0][0] == f"{bench.provider}:small"


async def test_a_budget_is_asked_before_a_call_and_ends_it(bench: Bench) -> None:
    async def refuse() -> None:
        raise BudgetReached("spent", "ask")

    bench.ledger.before = refuse  # type: ignore[method-assign]
    with pytest.raises(BudgetReached):
        await bench.model().ainvoke("hi")
    assert bench.stand_in.calls == 0
