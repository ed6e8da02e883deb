"""What watches a model's loop: remarks reach it, bad answers are told to it, and a loop without progress ends."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from langchain.agents.middleware import AgentMiddleware, hook_config
from langchain.agents.middleware.types import AgentState, ToolCallRequest
from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langgraph.runtime import Runtime
from langgraph.types import Command

from agents.context import Remarks
from shared.errors import InvalidRequestError, NotFoundError, TaskFailedError

BAD_ANSWERS = 3
"""Unusable answers in a row after which the loop ends."""
SAME_ROUNDS = 4
"""How often the same calls (or the same two or three rounds in turn) may come again with nothing new."""
_REFUSED = frozenset({"refusal", "content_filter", "SAFETY", "PROHIBITED_CONTENT", "BLOCKLIST"})
_CUT = frozenset({"length", "max_tokens", "MAX_TOKENS"})


class Listening(AgentMiddleware[Any, Any, Any]):
    """Before each call of the model: what people said since."""

    def __init__(self, remarks: Remarks, heard: int) -> None:
        super().__init__()
        self._remarks, self._heard = remarks, heard

    async def abefore_model(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:
        told = await self._remarks.all()
        news, self._heard = told[self._heard :], len(told)
        if not news:
            return None
        return {"messages": [HumanMessage(f"The person who asked for the work says: {text}") for text in news]}


class Watching(AgentMiddleware[Any, Any, Any]):
    """After each answer of the model: refusals and loops end the work, what is unusable is told to it a bounded number of times."""

    def __init__(self, *, may_be_silent: bool) -> None:
        super().__init__()
        self._may_be_silent = may_be_silent
        self._bad = self._unknown = 0
        self._rounds: list[str] = []

    @hook_config(can_jump_to=["model"])
    async def aafter_model(self, state: AgentState[Any], runtime: Runtime[Any]) -> dict[str, Any] | None:
        answer = next((message for message in reversed(state["messages"]) if isinstance(message, AIMessage)), None)
        if answer is None:
            return None
        refuse_refusal(answer)
        self._refuse_loop(answer)
        wrong = self._what_is_wrong(answer)
        if not wrong:
            if answer.tool_calls:
                self._bad = 0
            return None
        self._bad += 1
        if self._bad >= BAD_ANSWERS:
            raise TaskFailedError(
                f"The model gave {BAD_ANSWERS} unusable answers in a row. The last one: {_shown(wrong)}",
                "Retry the task, or set another model.",
                code="model_unusable",
            )
        return {"messages": wrong, "jump_to": "model"} if not answer.tool_calls else {"messages": wrong}

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]]
    ) -> ToolMessage | Command[Any]:
        """What a tool cannot do is an answer to the model, with what to do instead."""
        call = request.tool_call
        try:
            answer = await handler(request)
        except (InvalidRequestError, NotFoundError) as error:
            text = f"Error: {error.message} {error.next_step}".strip()
            return ToolMessage(content=text, name=call["name"], tool_call_id=call["id"], status="error")
        if request.tool is None:
            self._unknown += 1
            if self._unknown >= BAD_ANSWERS:
                raise TaskFailedError(
                    f"The model keeps calling a tool that does not exist: {call['name'][:80]}.",
                    "Retry the task, or set another model.",
                    code="model_unusable",
                )
        else:
            self._unknown = 0
        return answer

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


def refuse_refusal(answer: AIMessage) -> None:
    """TaskFailedError when the model, or its provider's filter, declined."""
    said = str(answer.additional_kwargs.get("refusal") or "")
    if said or reason_of(answer) in _REFUSED:
        words = f": {' '.join((said or answer.text).split())[:300]}" if said or answer.text.strip() else "."
        raise TaskFailedError(f"The model refused the request{words}", "Say it differently, or set another model.", code="model_refused")


def reason_of(answer: AIMessage) -> str:
    """Why the model stopped, in its provider's word."""
    about = answer.response_metadata
    return str(about.get("finish_reason") or about.get("stop_reason") or about.get("stopReason") or "")


def _shown(wrong: list[AnyMessage]) -> str:
    return " ".join(str(wrong[-1].content).split())[:200]
