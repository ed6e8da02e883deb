"""What a call of a model used: as its provider counted it, or estimated where the count did not arrive."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from langchain_core.messages import BaseMessage
from langchain_core.messages.utils import count_tokens_approximately

from shared.models.port import Usage
from shared.models.prices import Price, Tokens

_CHARACTERS = 4
"""Of a token, roughly; `count_tokens_approximately` takes the same."""


class Meter:
    """Of one call, from its first chunk to its last. `sent` are the messages, `tools` their definitions in the provider's own form."""

    def __init__(self, sent: Sequence[BaseMessage], tools: Any) -> None:
        self._sent, self._tools = sent, tools
        self._counted, self._heard, self._chunks = Tokens(), 0, 0

    def hear(self, message: BaseMessage) -> None:
        """A chunk of the answer."""
        self._chunks += 1
        self._heard += sum(map(len, _words(message)))
        self._counted = _more(self._counted, message)

    def usage(self, price: Price | None, *, ended: bool) -> Usage | None:
        """None for a call that was never answered. `ended`: the answer is whole; else a count may cover its beginning only."""
        if not self._chunks:
            return None
        tokens = self._counted
        estimated = not (ended and (tokens.input or tokens.output))
        if estimated:
            output = max(tokens.output, math.ceil(self._heard / _CHARACTERS))
            tokens = replace(tokens, input=tokens.input or self._estimate_sent(), output=output)
        cost = price.cost(tokens) if price is not None else None
        return Usage(tokens.input, tokens.output, cost, estimated)

    def _estimate_sent(self) -> int:
        definitions = json.dumps(self._tools, default=repr) if self._tools else ""
        return int(count_tokens_approximately(self._sent)) + math.ceil(len(definitions) / _CHARACTERS)


def _words(message: BaseMessage) -> Iterator[str]:
    """What the model wrote: text, thoughts and the arguments of its calls."""
    content: Any = message.content
    if isinstance(content, str):
        yield content
        for call in getattr(message, "tool_call_chunks", ()):
            yield call.get("name") or ""
            yield call.get("args") or ""
        return
    for block in content:
        if isinstance(block, str):
            yield block
            continue
        for key in ("text", "thinking", "reasoning", "refusal", "name", "arguments", "partial_json"):
            if isinstance(block.get(key), str):
                yield block[key]


def _more(tokens: Tokens, message: BaseMessage) -> Tokens:
    usage = getattr(message, "usage_metadata", None)
    if not usage:
        return tokens
    details = usage.get("input_token_details") or {}
    written = [count for key, count in details.items() if "creation" in key and isinstance(count, int)]
    return Tokens(
        tokens.input + usage.get("input_tokens", 0),
        tokens.output + usage.get("output_tokens", 0),
        tokens.cache_read + (details.get("cache_read") or 0),
        tokens.cache_write + sum(written),
    )
