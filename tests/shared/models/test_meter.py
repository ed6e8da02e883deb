"""A call whose provider does not tell what it used is counted all the same."""

from __future__ import annotations

import pytest
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool

from shared.models.port import BudgetReached, ModelError
from tests.shared.models.conftest import Bench
from tests.stand_ins.script import Answer, Call, Refusal

LONG = "x" * 4000
"""About a thousand tokens."""


@tool
def look(path: str) -> str:
    """Read a file."""
    return f"{path} is empty"


async def test_an_answer_that_broke_off_three_times_are_four_calls(bench: Bench) -> None:
    broken = Answer(("x" * 400, "y" * 400, "z", "z", "z", "z"), cut_after=5)
    bench.stand_in.say(broken, broken, Answer(("a", "b", "c"), fail_after=2), Answer(("whole",), output_tokens=7))
    assert (await bench.model().ainvoke([HumanMessage(LONG)])).text == "whole"
    *lost, last = [usage for _, usage in bench.ledger.told]
    assert (bench.ledger.asked, len(lost)) == (4, 3)
    assert [usage.estimated for usage in lost] == [True] * 3
    sent = range(100, 101) if bench.provider == "google_genai" else range(1000, 1010)
    for usage in lost:
        assert usage.input_tokens in sent, "one provider tells it with each piece"
        assert usage.cost_usd == pytest.approx((usage.input_tokens * 1 + usage.output_tokens * 10) / 1e6)
    assert all(100 <= usage.output_tokens <= 210 for usage in lost[:2])
    assert (last.input_tokens, last.output_tokens, last.estimated) == (100, 7, False)


@pytest.mark.parametrize(("bench", "written"), [("openai", 4), ("openai-compatible", 4), ("anthropic", 8)], indirect=["bench"])
async def test_a_call_of_a_tool_that_broke_off_is_counted_with_what_was_written(bench: Bench, written: int) -> None:
    """After `written` events the call is whole, and the answer is not."""
    bench.stand_in.say(Answer(("I look. ",), (Call("look", {"path": LONG}),), cut_after=written), Answer(("done",)))
    await bench.model().bind_tools([look]).ainvoke("hi")
    assert 500 <= bench.ledger.told[0][1].output_tokens <= 1020


@pytest.mark.parametrize("bench", ["openai", "openai-compatible"], indirect=True)
async def test_a_server_that_counts_nothing_is_counted_for(bench: Bench) -> None:
    bench.stand_in.say(Answer(("x" * 400,), without_usage=True), Answer(calls=(Call("look", {"path": LONG}),), without_usage=True))
    await bench.model().ainvoke([HumanMessage(LONG)])
    await bench.model("small").bind_tools([look]).ainvoke("hi")
    plain, calling = [usage for _, usage in bench.ledger.told]
    assert 1000 <= plain.input_tokens < 1010
    assert (plain.output_tokens, plain.estimated) == (100, True)
    assert plain.cost_usd == pytest.approx((plain.input_tokens + 1000) / 1e6)
    assert (calling.cost_usd, calling.estimated) == (None, True)
    assert 20 < calling.input_tokens < 100, "the definition of the tool was sent too"
    assert 1000 <= calling.output_tokens < 1010


async def test_a_budget_that_broken_answers_use_up_ends_the_trying(bench: Bench) -> None:
    async def allow_two() -> None:
        if len(bench.ledger.told) == 2:
            raise BudgetReached("spent", "ask")

    bench.ledger.before = allow_two  # type: ignore[method-assign]
    bench.stand_in.say(*[Answer(("one ", "two ", "three"), end_after=2)] * 2)
    with pytest.raises(BudgetReached):
        await bench.model().ainvoke("hi")


async def test_a_call_that_was_never_answered_used_nothing(bench: Bench) -> None:
    bench.stand_in.say(Refusal(503), Refusal(400, message="no"))
    with pytest.raises(ModelError):
        await bench.model().ainvoke("hi")
    assert bench.ledger.told == []
