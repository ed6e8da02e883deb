"""A chat model that keeps to its budget, tries again with patience, falls back to other models and waits for no silent stream."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from langchain_core.callbacks import AsyncCallbackManagerForLLMRun, CallbackManagerForLLMRun
from langchain_core.language_models import BaseChatModel
from langchain_core.language_models.chat_models import generate_from_stream
from langchain_core.messages import BaseMessage
from langchain_core.outputs import ChatGenerationChunk, ChatResult
from langchain_core.runnables import RunnableBinding
from pydantic import Field

from shared.models.answers import blocked, put_right, sendable
from shared.models.failures import CutStreamError, Failure, SilentStreamError, failure_of
from shared.models.meter import Meter
from shared.models.names import PROVIDERS, ModelName
from shared.models.port import ModelError, Spend
from shared.models.prices import Price

log = logging.getLogger(__name__)

_NOT_FOR_CLIENTS = ("ls_structured_output_format", "structured_output_format")


@dataclass(frozen=True)
class Patience:
    """Seconds. `silence_s`: until a stream that says nothing is ended. `total_s`: how long one that is down or busy is tried again."""

    silence_s: float = 300
    total_s: float = 120
    first_wait_s: float = 1
    longest_wait_s: float = 30

    def wait(self, attempt: int, asked: float | None) -> float:
        """Before the next attempt: what was asked for and a little more, else growing; with jitter, so that not all come at once."""
        if asked is not None:
            return asked + random.uniform(0, min(1.0, self.first_wait_s))
        longest = min(self.longest_wait_s, self.first_wait_s * 2.0 ** min(attempt, 20))
        return float(random.uniform(longest / 2, longest))


class Client(Protocol):
    """How a model is reached. `secrets` are struck from what its provider says; `own_key`: the user's, not the operator's."""

    @property
    def secrets(self) -> tuple[str, ...]: ...
    @property
    def own_key(self) -> bool: ...

    def open(self) -> BaseChatModel:
        """The provider's client, made once."""

    async def refresh(self) -> None:
        """Before each call: is the key still there? `ModelError` says when not."""


@dataclass(frozen=True)
class Candidate:
    """One model that may answer."""

    name: ModelName
    client: Client
    price: Price | None

    def failure_of(self, exc: Exception) -> Failure | None:
        return failure_of(exc, self.name, self.client.secrets, own_key=self.client.own_key)


class GuardedChatModel(BaseChatModel):
    """Answers come from the first candidate that gives one. `tools` are bound for each as its provider wants them."""

    candidates: Any = Field(exclude=True, repr=False)
    spend: Any = Field(exclude=True, repr=False)
    patience: Any = Field(default_factory=Patience, exclude=True, repr=False)
    tools: Any = Field(default=None, exclude=True, repr=False)
    options: dict[str, Any] = Field(default_factory=dict, exclude=True, repr=False)

    @property
    def _llm_type(self) -> str:
        return "persevere"

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Any:
        return self.model_copy(update={"tools": list(tools), "options": {**self.options, **kwargs}})

    def _generate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: CallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        raise NotImplementedError("models are called with ainvoke or astream")

    async def _agenerate(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> ChatResult:
        """Read as a stream all the same: silence is noticed, and a long answer outlives proxies. A broken answer is asked for again."""
        chunks: list[ChatGenerationChunk] = []
        async for chunk in self._answers(messages, stop, kwargs, restartable=True):
            if chunk is None:
                chunks.clear()
                continue
            chunk.message.response_metadata = {**(chunk.generation_info or {}), **chunk.message.response_metadata}
            chunks.append(chunk)
        result = generate_from_stream(iter(chunks))
        return put_right(result, [chunk.message for chunk in chunks])

    async def _astream(
        self,
        messages: list[BaseMessage],
        stop: list[str] | None = None,
        run_manager: AsyncCallbackManagerForLLMRun | None = None,
        **kwargs: Any,
    ) -> AsyncIterator[ChatGenerationChunk]:
        """What was passed on cannot be taken back: an answer that breaks off later than its first chunk is an error."""
        async for chunk in self._answers(messages, stop, kwargs, restartable=False):
            if chunk is not None:
                if run_manager is not None:
                    await run_manager.on_llm_new_token(str(chunk.text), chunk=chunk)
                yield chunk

    async def _answers(
        self, messages: list[BaseMessage], stop: list[str] | None, kwargs: dict[str, Any], *, restartable: bool
    ) -> AsyncIterator[ChatGenerationChunk | None]:
        """Chunks of the answer; None: an attempt begins, forget what came before."""
        candidates: tuple[Candidate, ...] = self.candidates
        first: ModelError | None = None
        for position, candidate in enumerate(candidates):
            last = position == len(candidates) - 1
            patience_s = self.patience.total_s if last else self.patience.total_s / 4
            began, attempt = time.monotonic(), 0
            while True:
                given = False
                yield None
                try:
                    async for chunk in self._attempt(candidate, messages, stop, kwargs):
                        given = True
                        yield chunk
                    return
                except Exception as exc:
                    failure = None if isinstance(exc, ModelError) else candidate.failure_of(exc)
                    if failure is None:
                        raise
                wait_s = self.patience.wait(attempt, failure.wait_s)
                if given and not restartable:
                    raise failure.error() from None
                if not failure.again or time.monotonic() - began + wait_s > patience_s:
                    break
                log.info("%s: %s; trying again in %.1f s", candidate.name, failure.code, wait_s)
                await asyncio.sleep(wait_s)
                attempt += 1
            first = first or failure.error()
            if last or not failure.elsewhere:
                raise _all_failed(first, failure, position) from None
            log.warning("%s: %s; falling back to %s", candidate.name, failure.code, candidates[position + 1].name)

    async def _attempt(
        self, candidate: Candidate, messages: list[BaseMessage], stop: list[str] | None, kwargs: dict[str, Any]
    ) -> AsyncIterator[ChatGenerationChunk]:
        """One call. Once an answer began, what it used is told, whether it ended well or not."""
        spend: Spend = self.spend
        await spend.before()
        await candidate.client.refresh()
        client, bound = self._client(candidate, kwargs)
        sent, ended = sendable(messages), candidate.name.provider not in PROVIDERS
        meter = Meter(sent, bound.get("tools"))
        stream = client._astream(sent, stop=stop, **bound)
        try:
            async for chunk in _heard(stream, self.patience.silence_s):
                meter.hear(chunk.message)
                ended = ended or _says_its_end(chunk)
                yield chunk
        finally:
            await _close(stream)
            if (usage := meter.usage(candidate.price, ended=ended)) is not None:
                await spend.after(str(candidate.name), usage)
        if not ended:
            raise CutStreamError

    def _client(self, candidate: Candidate, kwargs: dict[str, Any]) -> tuple[BaseChatModel, dict[str, Any]]:
        """The provider's model, with the tools in its own form."""
        client = candidate.client.open()
        options = {**self.options, **kwargs}
        if self.tools is None:
            return client, {key: value for key, value in options.items() if key not in _NOT_FOR_CLIENTS}
        bound = client.bind_tools(self.tools, **{key: value for key, value in options.items() if key not in _NOT_FOR_CLIENTS})
        if not isinstance(bound, RunnableBinding) or not isinstance(bound.bound, BaseChatModel):
            raise TypeError(f"{type(client).__name__}.bind_tools gives no binding of a chat model")
        return bound.bound, dict(bound.kwargs)


async def _heard(stream: AsyncIterator[ChatGenerationChunk], silence_s: float) -> AsyncIterator[ChatGenerationChunk]:
    """The chunks, each within its time. `SilentStreamError` says the seconds."""
    while True:
        try:
            async with asyncio.timeout(silence_s):
                chunk = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError as exc:
            raise SilentStreamError(f"{silence_s:g}") from exc
        yield chunk


async def _close(stream: AsyncIterator[ChatGenerationChunk]) -> None:
    close = getattr(stream, "aclose", None)
    if close is not None:
        await close()


def _says_its_end(chunk: ChatGenerationChunk) -> bool:
    """Every provider names a reason when its answer is over; without one it broke off."""
    said = {**(chunk.generation_info or {}), **chunk.message.response_metadata}
    return any(said.get(key) for key in ("finish_reason", "stop_reason", "status")) or bool(blocked(chunk.message))


def _all_failed(first: ModelError, last: Failure, position: int) -> ModelError:
    """The chosen model's own error says what to do; that the others failed as well is added."""
    if position == 0:
        return first
    others = "the fallback failed as well" if position == 1 else "all fallbacks failed as well"
    code = first.code
    return type(first)(f"{first.message[:-1]}, and {others}: {last.message}", first.next_step, code=code)
