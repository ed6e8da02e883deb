"""A model that says what a script tells it, and raises when the script runs out."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from langchain_core.runnables import Runnable
from langchain_core.utils.function_calling import convert_to_openai_tool

from agents.context import Step
from shared.models.port import Spend, Usage

Answer = Callable[[list[BaseMessage], list[str]], AIMessage]
"""From the messages and the names of the tools to the answer."""


class ScriptedChat(BaseChatModel):
    answer: Answer
    spend: Any = None

    @property
    def _llm_type(self) -> str:
        return "scripted"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Runnable[Any, AIMessage]:
        return self.bind(tools=[convert_to_openai_tool(tool) for tool in tools])

    def _generate(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: CallbackManagerForLLMRun | None = None, **kwargs: Any
    ) -> ChatResult:
        raise NotImplementedError

    async def _agenerate(
        self, messages: list[BaseMessage], stop: Any = None, run_manager: AsyncCallbackManagerForLLMRun | None = None, **kwargs: Any
    ) -> ChatResult:
        await self.spend.before()
        names = [tool["function"]["name"] for tool in kwargs.get("tools", [])]
        message = self.answer(messages, names)
        await self.spend.after("scripted:model", Usage(10, 5, 0.0))
        return ChatResult(generations=[ChatGeneration(message=message)])


@dataclass
class Free:
    """A budget without an end."""

    calls: int = 0

    async def before(self) -> None:
        self.calls += 1

    async def after(self, model: str, usage: Usage) -> None:
        return


@dataclass
class ScriptedModel:
    """Implements `ModelPort`. `seen` are the messages of each call."""

    answer: Answer
    name: str = "scripted:model"
    seen: list[list[BaseMessage]] = field(default_factory=list)
    spend: Spend | None = None
    """Asked instead of the task's own budget."""

    def bind(self, spend: Spend) -> BaseChatModel:
        def answered(messages: list[BaseMessage], tools: list[str]) -> AIMessage:
            self.seen.append(list(messages))
            return self.answer(messages, tools)

        return ScriptedChat(answer=answered, spend=self.spend or spend)


@dataclass
class MemorySteps:
    """Implements `agents.context.StepLog`. `watched` gets the lines for those who watch; from `limit` steps on nothing more is kept."""

    spend: Spend
    watched: list[str] = field(default_factory=list)
    piece: str = ""
    steps: list[Step] = field(default_factory=list)
    limit: int = 1000

    async def read(self, piece: str) -> list[Step]:
        return list(self.steps) if piece == self.piece else []

    async def keep(self, piece: str, step: Step, *, used: Sequence[tuple[str, Usage]] = (), told: str = "") -> bool:
        for model, usage in used:
            await self.spend.after(model, usage)
        if told:
            self.watched.append(told)
        if piece != self.piece:
            self.piece, self.steps = piece, []
        if len(self.steps) >= self.limit:
            return False
        self.steps.append(step)
        return True

    async def forget(self) -> None:
        self.piece, self.steps = "", []


def script(*answers: AIMessage) -> ScriptedModel:
    left = list(answers)

    def next_answer(messages: list[BaseMessage], tools: list[str]) -> AIMessage:
        assert left, f"the script has run out; asked: {messages[-1].content!r}"
        return left.pop(0)

    return ScriptedModel(next_answer)


_number = iter(range(1_000_000))


def call(name: str, **args: Any) -> AIMessage:
    return calls((name, args))


def calls(*wanted: tuple[str, dict[str, Any]]) -> AIMessage:
    return AIMessage(
        "", tool_calls=[{"name": name, "args": args, "id": f"call_{next(_number)}", "type": "tool_call"} for name, args in wanted]
    )


def say(text: str, **more: Any) -> AIMessage:
    return AIMessage(text, **more)


def plan(summary: str, *files: str, **more: Any) -> AIMessage:
    return call("DraftPlan", summary=summary, steps=[{"title": summary, "files": list(files)}], **more)


def review(verdict: str = "looks_good", *comments: dict[str, Any], summary: str = "It does what was asked.") -> AIMessage:
    return call("DraftReview", verdict=verdict, summary=summary, comments=list(comments))
