"""Runs a model with tools until it is done: langchain's loop, every step kept, with limits, and with every ending told in a sentence."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_core.runnables.config import var_child_runnable_config

from agents.context import TaskContext
from agents.loop.steps import Steps
from agents.loop.text import one_line
from shared.types import Json

if TYPE_CHECKING:
    from langchain_core.messages import AnyMessage
    from langchain_core.tools import BaseTool

Tell = Callable[[list[Json]], str]


@dataclass(frozen=True)
class LoopLimits:
    model_calls: int = 60
    tool_calls: int = 150


@dataclass(frozen=True)
class LoopEnd:
    """All messages, the last answer's text, and the structured answer where one was asked for."""

    messages: list[AnyMessage]
    text: str
    structured: Any = None


async def run_loop(
    context: TaskContext,
    *,
    steps: Steps,
    tools: Sequence[BaseTool],
    system: str,
    messages: Sequence[AnyMessage],
    tell: Tell | None = None,
    answer: Any = None,
    limits: LoopLimits | None = None,
) -> LoopEnd:
    """Until the model answers without calling a tool, or gives the structured `answer`.

    `tell` makes a line for those who watch of each round's calls [{name, args}]. What `steps` has kept goes by first, without a call.
    Raises `TaskFailedError`: `model_refused`, `model_loops`, `model_unusable`, `model_steps`, and what the model port raises;
    `GraphDrained` between two steps when the worker stops.
    """
    import langsmith
    from langchain.agents import create_agent

    from agents.loop.middleware import Looping
    from agents.loop.watching import Watching

    assert context.models is not None
    langsmith.set_runtime_overrides(aio_to_thread=_at_once)
    watching = Watching(limits or LoopLimits(), may_be_silent=answer is not None)
    agent: Any = create_agent(
        context.models.bind(steps.spend),
        list(tools),
        system_prompt=system,
        middleware=[Looping(context, steps, watching, tell or said)],
        response_format=answer,
    )
    # The loop is no part of the task's graph: its steps are kept as `steps` does it, not in checkpoints, and have no place in the graph.
    inside = contextvars.copy_context()
    inside.run(var_child_runnable_config.set, None)
    return await asyncio.create_task(_run(agent, steps, list(messages)), context=inside)


async def _run(agent: Any, steps: Steps, messages: list[AnyMessage]) -> LoopEnd:
    end = LoopEnd(messages, "")
    async with aclosing(agent.astream({"messages": messages}, stream_mode="values")) as states:
        async for state in states:
            end = LoopEnd(state["messages"], _text(state["messages"]), state.get("structured_response"))
            steps.stop_when_drained()
    return end


async def _at_once(default: Any, inside: contextvars.Context, function: Callable[..., Any], /, *args: Any, **named: Any) -> Any:
    """How langsmith, which stands around every middleware, does its little work: not in a thread, whose start costs more than that."""
    return inside.run(function, *args, **named)


def _text(messages: Sequence[AnyMessage]) -> str:
    return messages[-1].text.strip() if messages and messages[-1].type == "ai" else ""


def said(calls: list[Json]) -> str:
    """A round's calls in a line."""
    return "; ".join(told(call) for call in calls)[:1000]


def told(call: Json) -> str:
    """A call in a few words, for the people who watch."""
    args = call["args"]
    about = args.get("path") or args.get("pattern") or args.get("command") or ""
    return one_line(f"{call['name'].replace('_', ' ')} {about}".strip())
