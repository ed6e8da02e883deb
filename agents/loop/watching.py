"""What watches a model's loop: bad answers are told to it, refusals, loops without progress and too many steps end it."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from langchain.agents.middleware.types import ToolCallRequest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langgraph.types import Command

from agents.loop.agent import LoopLimits
from shared.errors import InvalidRequestError, NotFoundError, TaskFailedError

BAD_ANSWERS = 3
"""Unusable answers in a row after which the loop ends."""
SAME_ROUNDS = 4
"""How often the same calls (or the same two or three rounds in turn) may come again with nothing new."""
_REFUSED = frozenset({"refusal", "content_filter", "SAFETY", "PROHIBITED_CONTENT", "BLOCKLIST"})
_CUT = frozenset({"length", "max_tokens", "MAX_TOKENS", "max_output_tokens"})


class Watching:
    """Sees every answer and every call of a loop in order, also those that were made in an earlier run."""

    def __init__(self, limits: LoopLimits, *, may_be_silent: bool) -> None:
        self._limits, self._may_be_silent = limits, may_be_silent
        self._answers = self._calls = self._bad = self._unknown = 0
        self._rounds: list[str] = []

    def before_answer(self) -> None:
        self._answers += 1
        if self._answers > self._limits.model_calls:
            raise self._too_long()

    def after_answer(self, answer: AIMessage) -> list[AnyMessage]:
        """What is to be told to the model about it. TaskFailedError for an answer that ends the loop."""
        refuse_refusal(answer)
        self._refuse_loop(answer)
        self._calls += len(answer.tool_calls)
        if self._calls > self._limits.tool_calls:
            raise self._too_long()
        wrong = self._what_is_wrong(answer)
        if not wrong:
            if answer.tool_calls:
                self._bad = 0
            return []
        self._bad += 1
        if self._bad >= BAD_ANSWERS:
            raise TaskFailedError(
                f"The model gave {BAD_ANSWERS} unusable answers in a row. The last one: {_shown(wrong)}",
                "Retry the task, or set another model.",
                code="model_unusable",
            )
        return wrong

    async def call_tool(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]]
    ) -> ToolMessage:
        """What a tool cannot do is an answer to the model, with what to do instead."""
        call = request.tool_call
        try:
            answer = await handler(request)
        except (InvalidRequestError, NotFoundError) as error:
            text = f"Error: {error.message} {error.next_step}".strip()
            return ToolMessage(content=text, name=call["name"], tool_call_id=call["id"], status="error")
        assert isinstance(answer, ToolMessage)
        self.after_tool(request, answer)
        return answer

    def after_tool(self, request: ToolCallRequest, answer: ToolMessage) -> None:
        if request.tool is not None:
            self._unknown = 0 if answer.status != "error" else self._unknown
            return
        self._unknown += 1
        if self._unknown >= BAD_ANSWERS:
            raise TaskFailedError(
                f"The model keeps calling a tool that does not exist: {request.tool_call['name'][:80]}.",
                "Retry the task, or set another model.",
                code="model_unusable",
            )

    def _what_is_wrong(self, answer: AIMessage) -> list[AnyMessage]:
        wrong: list[AnyMessage] = [
            ToolMessage(
                content=f"Error: the arguments of {call.get('name')} are not valid JSON. Call it again with correct arguments.",
                name=call.get("name") or "unknown",
                tool_call_id=str(call.get("id") or "unknown"),
                status="error",
            )
            for call in answer.invalid_tool_calls
        ]
        if wrong or answer.tool_calls:
            return wrong
        if reason_of(answer) in _CUT:
            return [HumanMessage("Your answer was cut off because it was too long. Go on in smaller steps.")]
        if not answer.text.strip() and not self._may_be_silent:
            return [HumanMessage("Your answer was empty. Call a tool, or say in a few sentences what was done.")]
        return []

    def _refuse_loop(self, answer: AIMessage) -> None:
        if answer.tool_calls:
            calls = [[call["name"], call["args"]] for call in answer.tool_calls]
            self._rounds.append(json.dumps(calls, sort_keys=True, default=str))
        for period in (1, 2, 3):
            last = self._rounds[-period * SAME_ROUNDS :]
            if len(last) == period * SAME_ROUNDS and last == last[:period] * SAME_ROUNDS:
                raise TaskFailedError(
                    f"The model goes in circles: it made the same calls {SAME_ROUNDS} times and nothing came of it.",
                    "Retry with a hint that says what to do differently (`persevere tasks retry TASK --hint ...`), or set another model.",
                    code="model_loops",
                )

    def _too_long(self) -> TaskFailedError:
        return TaskFailedError(
            f"The model did not come to an end within {self._limits.model_calls} answers and {self._limits.tool_calls} calls of tools.",
            "Retry with a hint (`persevere tasks retry TASK --hint ...`), or ask for a smaller piece of work.",
            code="model_steps",
        )


def refuse_refusal(answer: AIMessage) -> None:
    """TaskFailedError when the model, or its provider's filter, declined."""
    said = str(answer.additional_kwargs.get("refusal") or "")
    if said or reason_of(answer) in _REFUSED:
        words = " ".join((said or answer.text).split())[:300]
        told = f": {words}{'' if words.endswith(('.', '!', '?')) else '.'}" if words else "."
        raise TaskFailedError(f"The model refused the request{told}", "Say it differently, or set another model.", code="model_refused")


def reason_of(answer: AIMessage) -> str:
    """Why the model stopped, in its provider's word."""
    about = answer.response_metadata
    incomplete = (about.get("incomplete_details") or {}).get("reason")
    return str(about.get("finish_reason") or about.get("stop_reason") or about.get("stopReason") or incomplete or "")


def _shown(wrong: list[AnyMessage]) -> str:
    """The first sentence of what the model was told, for a person."""
    text = " ".join(str(wrong[-1].content).split()).removeprefix("Error: ").replace("Your answer", "it", 1)
    return f"{text.partition('. ')[0].removesuffix('.')}."[:300]
