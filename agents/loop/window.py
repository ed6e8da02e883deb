"""Keeps a long conversation within a model's window: from a size on the oldest answers of tools are left out, by LangChain's own edit."""

from __future__ import annotations

from collections.abc import Sequence

from langchain.agents.middleware import ClearToolUsesEdit
from langchain_core.messages import AnyMessage, BaseMessage
from langchain_core.messages.utils import count_tokens_approximately

TOKENS = 100_000
"""From here on the oldest answers of tools are left out; the instructions and the plan stay."""
KEPT = 6
"""So many of the last answers of tools always stay."""
LEFT_OUT = "[left out: this was long ago; call the tool again if you need it]"


class Window:
    """Counts each message once, however often the conversation is looked at."""

    def __init__(self) -> None:
        self._counted: list[tuple[BaseMessage, int]] = []

    def shown(self, messages: list[AnyMessage]) -> list[AnyMessage]:
        """What the model is given of the conversation."""
        shown = list(messages)
        ClearToolUsesEdit(trigger=TOKENS, keep=KEPT, placeholder=LEFT_OUT).apply(shown, count_tokens=self._tokens)
        return shown

    def _tokens(self, messages: Sequence[BaseMessage]) -> int:
        for at, message in enumerate(messages):
            if at < len(self._counted) and self._counted[at][0] is message:
                continue
            del self._counted[at:]
            self._counted.append((message, count_tokens_approximately([message])))
        del self._counted[len(messages) :]
        return sum(tokens for _, tokens in self._counted)
