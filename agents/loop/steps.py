"""The steps of a piece of work: first those that were kept of it go by again without a call, then new ones are kept."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from langchain_core.messages import AIMessage, AnyMessage, ToolMessage, message_to_dict, messages_from_dict
from langgraph.errors import GraphDrained

from agents.context import Step, StepLog, TaskContext
from agents.loop.changes import Changes
from shared.errors import TaskFailedError
from shared.models.port import BudgetReached, ModelError, Spend, Usage
from shared.types import Json, canonical_json, sha256_hex

if TYPE_CHECKING:
    from langchain_core.messages import BaseMessage

Stopping = Callable[[], bool]
"""Whether the worker is to stop soon."""
_FORM = 1
"""Raised when kept steps of an older form can no longer be read: those pieces begin anew."""

_FOR_EVER = frozenset({"model_context_too_long", "model_request_rejected"})
"""What a model would say to the same messages again."""

_BEFORE_A_CALL = frozenset({"price_unknown"})
"""What another setting puts right: the model was not asked."""


def never() -> bool:
    """For work that nobody stops."""
    return False


class HeldSpend:
    """Implements `Spend`. Holds what an answer used until its step is kept: paid for and kept in one moment."""

    def __init__(self, spend: Spend) -> None:
        self._spend = spend
        self._held: list[tuple[str, Usage]] = []

    async def before(self) -> None:
        await self.settle()
        await self._spend.before()

    async def after(self, model: str, usage: Usage) -> None:
        self._held.append((model, usage))

    def held(self) -> list[tuple[str, Usage]]:
        return list(self._held)

    def clear(self) -> None:
        self._held.clear()

    async def settle(self) -> None:
        """Record what no step will be kept with: of an attempt that broke off."""
        while self._held:
            await self._spend.after(*self._held[0])
            self._held.pop(0)


class Steps:
    """Of one piece of work. `kept` is what earlier runs left of it; `changes` is told what tools do to the workspace.

    `heard` is what people said that the model knows already, as plain data of `Listening`.
    """

    def __init__(self, log: StepLog, spend: Spend, piece: str, kept: Sequence[Step], stopping: Stopping) -> None:
        self._log, self._piece, self._stopping = log, piece, stopping
        self.kept, self.changes, self.spend = kept, Changes(), HeldSpend(spend)
        self.heard: Json = {}
        for step in filter(_of_tools, kept):
            self.changes.state = dict(step.state)
        self._anew = any(step.patch is not None for step in kept)
        self._ahead = list(kept)
        self._first: list[AnyMessage] = []
        self._answered: dict[str, ToolMessage] = {}
        """The kept answers of tools in the round that goes by again."""
        self._round: dict[str, ToolMessage | None] = {}
        """The round that goes on: call -> its answer."""
        self._whole = True

    @property
    def opening(self) -> list[AnyMessage] | None:
        """The messages the piece began with, when it is gone on with."""
        if not self.kept:
            return None
        return _read(self.kept[0].messages[: self.kept[0].state["opening"]])

    def begin(self, messages: Sequence[AnyMessage], heard: Json) -> list[AnyMessage]:
        """A new piece begins with these; they are kept with the first answer."""
        self._first, self.heard = list(messages), heard
        return self._first

    def made_anew(self) -> bool:
        """Once: whether commands left more behind than the fresh workspace has."""
        anew, self._anew = self._anew, False
        return anew

    def stop_when_drained(self) -> None:
        """Between two steps of the loop: `GraphDrained` when the worker stops and nothing is lost by that."""
        if self._whole and self._stopping():
            raise GraphDrained

    def next_answer(self) -> tuple[list[AnyMessage], AIMessage] | None:
        """The next kept answer and what was said before it; None when all have gone by."""
        if not self._ahead:
            return None
        step = self._ahead.pop(0)
        *said, answer = _read(step.messages[step.state.get("opening", 0) :])
        if not isinstance(answer, AIMessage):
            raise _do_not_fit()
        self.heard, self._answered = step.state["heard"], {}
        if self._ahead and _of_tools(self._ahead[0]):
            self._answered = {message.tool_call_id: message for message in _read(self._ahead.pop(0).messages)}
        return said, answer

    async def answered(self, said: Sequence[AnyMessage], answer: AIMessage, told: str) -> None:
        """Keep an answer and pay for it. `told`: a line for those who watch."""
        self._answered = {}
        opening = {"opening": len(self._first)} if self._first else {}
        step = Step(_written([*self._first, *said, answer]), {"heard": self.heard, **opening})
        self._whole = await self._log.keep(self._piece, step, used=self.spend.held(), told=told)
        self.spend.clear()
        self._first = []

    def expect(self, calls: Sequence[str]) -> None:
        """The calls of tools that the answer asks for, each of which is given to `tool_answered`."""
        self._round = dict.fromkeys(calls)

    def kept_tool_answer(self, call: str) -> ToolMessage | None:
        return self._answered.get(call)

    async def tool_answered(self, call: str, answer: ToolMessage) -> None:
        """The round is kept with its last answer."""
        self._round[call] = answer
        if any(other is None for other in self._round.values()):
            return
        if not self._answered:
            step = Step(_written([message for message in self._round.values() if message is not None]), *self.changes.take())
            self._whole = await self._log.keep(self._piece, step)
        self._round = {}


@asynccontextmanager
async def open_steps(context: TaskContext, begins_with: Json, stopping: Stopping = never) -> AsyncIterator[Steps]:
    """The steps of the piece of work that begins with this. They are kept until its result is kept, or it fails by what it did itself.

    Where a provider, a budget or anything else stopped it, a later run goes on after the last step.
    """
    assert context.steps is not None
    assert context.spend is not None
    piece = sha256_hex(canonical_json({**begins_with, "form": _FORM}))
    try:
        yield Steps(context.steps, context.spend, piece, await context.steps.read(piece), stopping)
    except TaskFailedError as error:
        if error.code in _FOR_EVER or not (isinstance(error, ModelError | BudgetReached) or error.code in _BEFORE_A_CALL):
            await context.steps.forget()
        raise


def _of_tools(step: Step) -> bool:
    return bool(step.messages[0]["type"] == "tool")


def _written(messages: Sequence[BaseMessage]) -> list[Json]:
    """As plain data. What a provider adds about its answer may be anything: what has no form of its own is kept as text."""
    return [_as_data(message_to_dict(message)) for message in messages]


def _as_data(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _as_data(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_as_data(item) for item in value]
    return value if value is None or isinstance(value, str | int | float | bytes) else str(value)


def _read(messages: Sequence[Json]) -> list[Any]:
    try:
        return list(messages_from_dict(list(messages)))
    except (KeyError, TypeError, ValueError) as error:
        raise _do_not_fit() from error


def _do_not_fit() -> TaskFailedError:
    return TaskFailedError("What was kept of the work does not fit together.", "Retry the task: this stage begins anew.", code="steps_lost")
