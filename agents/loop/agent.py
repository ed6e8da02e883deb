"""Runs a model with tools until it is done: langchain's loop, with limits, and with every ending told in a sentence."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from langchain_core.runnables.config import var_child_runnable_config

from agents.context import TaskContext
from agents.loop.text import one_line
from shared.errors import TaskFailedError
from shared.types import Json

if TYPE_CHECKING:
    from langchain_core.messages import AnyMessage
    from langchain_core.tools import BaseTool

CONTEXT_TOKENS = 100_000
"""From here on the oldest answers of tools are left out; the instructions and the plan stay."""
OnCalls = Callable[[list[Json]], Awaitable[None]]


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
    tools: Sequence[BaseTool],
    system: str,
    messages: Sequence[AnyMessage],
    on_calls: OnCalls,
    heard: int,
    answer: Any = None,
    limits: LoopLimits | None = None,
) -> LoopEnd:
    """Until the model answers without calling a tool, or gives the structured `answer`.

    `on_calls` is told each round's calls [{name, args}] before they are made. `heard`: remarks that `messages` has already.
    Raises `TaskFailedError`: `model_refused`, `model_loops`, `model_unusable`, `model_steps`, and what the model port raises.
    """
    assert context.models is not None
    limits = limits or LoopLimits()
    asked = _Asked(list(tools), system, answer, _middleware(context, limits, heard, answer is not None))
    outside, inside = contextvars.copy_context(), contextvars.copy_context()
    # The loop is no part of the task's graph: its steps are not checkpointed and have no place in it, and a drain does not cut it short.
    inside.run(var_child_runnable_config.set, None)

    async def tell(calls: list[Json]) -> None:
        await asyncio.create_task(_await(on_calls(calls)), context=outside)

    return await asyncio.create_task(_run(context, asked, list(messages), tell, limits), context=inside)


@dataclass(frozen=True)
class _Asked:
    tools: list[BaseTool]
    system: str
    answer: Any
    middleware: list[Any]


async def _run(context: TaskContext, asked: _Asked, messages: list[AnyMessage], tell: OnCalls, limits: LoopLimits) -> LoopEnd:
    from langchain.agents import create_agent
    from langchain.agents.middleware.model_call_limit import ModelCallLimitExceededError
    from langchain.agents.middleware.tool_call_limit import ToolCallLimitExceededError

    assert context.models is not None
    assert context.spend is not None
    agent: Any = create_agent(
        context.models.bind(context.spend),
        asked.tools,
        system_prompt=asked.system,
        middleware=asked.middleware,
        response_format=asked.answer,
    )
    end = LoopEnd(messages, "")
    try:
        async for state in agent.astream({"messages": messages}, stream_mode="values"):
            fresh = state["messages"][len(end.messages) :]
            end = LoopEnd(list(state["messages"]), _text(state["messages"]), state.get("structured_response"))
            for message in fresh:
                if calls := getattr(message, "tool_calls", None):
                    await tell([{"name": call["name"], "args": call["args"]} for call in calls])
    except (ModelCallLimitExceededError, ToolCallLimitExceededError) as exc:
        raise TaskFailedError(
            f"The model did not come to an end within {limits.model_calls} answers and {limits.tool_calls} calls of tools.",
            "Retry with a hint (`persevere tasks retry TASK --hint ...`), or ask for a smaller piece of work.",
            code="model_steps",
        ) from exc
    return end


async def _await(told: Awaitable[None]) -> None:
    await told


def _middleware(context: TaskContext, limits: LoopLimits, heard: int, structured: bool) -> list[Any]:
    from langchain.agents.middleware import ClearToolUsesEdit, ContextEditingMiddleware, ModelCallLimitMiddleware, ToolCallLimitMiddleware

    from agents.loop.middleware import Listening, Watching

    found: list[Any] = [
        ModelCallLimitMiddleware(run_limit=limits.model_calls, exit_behavior="error"),
        ToolCallLimitMiddleware(run_limit=limits.tool_calls, exit_behavior="error"),
        ContextEditingMiddleware(edits=[ClearToolUsesEdit(trigger=CONTEXT_TOKENS, keep=6)]),
        Watching(may_be_silent=structured),
    ]
    if context.remarks is not None:
        found.append(Listening(context.remarks, heard))
    return found


def _text(messages: Sequence[AnyMessage]) -> str:
    return messages[-1].text.strip() if messages and messages[-1].type == "ai" else ""


def told(call: Json) -> str:
    """A call in a few words, for the people who watch."""
    args = call["args"]
    about = args.get("path") or args.get("pattern") or args.get("command") or ""
    return one_line(f"{call['name'].replace('_', ' ')} {about}".strip())
