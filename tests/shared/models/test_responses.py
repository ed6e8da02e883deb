"""OpenAI's newer models speak another protocol when they have tools; nothing else may differ."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from langchain.agents import create_agent
from langchain_core.messages import HumanMessage
from langchain_core.tools import tool

from shared.models.port import ModelError
from tests.shared.models.conftest import KEY, Bench
from tests.stand_ins.openai import OpenAIStandIn
from tests.stand_ins.script import Answer, Call, Refusal, serving

NAME = "gpt-6-codex"


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    async with serving(OpenAIStandIn(KEY, models=(NAME,))) as stand_in:
        prices = tmp_path / "prices.yaml"
        prices.write_text(f'prices: {{"openai:{NAME}": {{input: 1, output: 10, cache_read: 0.1}}}}')
        given = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": stand_in.base_url, "PERSEVERE_DATA_DIR": str(tmp_path)}
        yield Bench("openai", stand_in, {**given, "PERSEVERE_MODEL_PRICES": str(prices)})


@tool
def look(path: str) -> str:
    """Read a file."""
    return f"{path} is empty"


async def test_an_agent_calls_tools_and_its_usage_is_kept(bench: Bench) -> None:
    bench.stand_in.say(
        Answer(("I look. ",), (Call("look", {"path": "a.py"}), Call("look", {"path": "b.py"})), input_tokens=1000, cached=400),
        Answer(("Both are ", "empty.")),
    )
    agent = create_agent(bench.model(NAME), [look], system_prompt="You look at files.")
    ended = await agent.ainvoke({"messages": [HumanMessage("look at both")]})
    assert ended["messages"][-1].text == "Both are empty."
    assert [message.content for message in ended["messages"] if message.type == "tool"] == ["a.py is empty", "b.py is empty"]
    assert all("input" in body for body in bench.stand_in.bodies)
    assert bench.ledger.told[0][1].cost_usd == pytest.approx((600 + 400 * 0.1 + 20 * 10) / 1e6)


async def test_a_broken_answer_and_a_silent_one_are_asked_for_again(bench: Bench) -> None:
    bench.stand_in.say(Answer(("a", "b", "c"), cut_after=4), Answer(("a", "b"), silent_after=2), Answer(("whole",)))
    assert (await bench.model(NAME, PERSEVERE_MODEL_SILENCE_S="0.3").ainvoke("hi")).text == "whole"


async def test_a_busy_provider_is_asked_again_and_a_refusal_is_told(bench: Bench) -> None:
    bench.stand_in.say(Refusal(429, "rate_limit_exceeded", "slow", (("retry-after", "0"),)), Refusal(400, message="no such thing"))
    with pytest.raises(ModelError) as caught:
        await bench.model(NAME).ainvoke("hi")
    assert caught.value.code == "model_request_rejected"
    assert "no such thing" in caught.value.message
