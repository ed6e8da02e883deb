"""Keeps a long conversation within a model's window: from a size on the oldest answers of tools are left out."""

from __future__ import annotations

from langchain_core.messages import AnyMessage, ToolMessage
from langchain_core.messages.utils import count_tokens_approximately

TOKENS = 100_000
"""From here on the oldest answers of tools are left out; the instructions and the plan stay."""
KEPT = 6
"""So many of the last answers of tools always stay."""
LEFT_OUT = "[left out: this was long ago; call the tool again if you need it]"


class Window:
    """Counts each message once, however often the conversation is looked at."""

    def __init__(self) -> None:
        self._counted: list[tuple[AnyMessage, int]] = []

    def shown(self, messages: list[AnyMessage]) -> list[AnyMessage]:
        """What the model is given of the conversation."""
        if self._tokens(messages) <= TOKENS:
            return messages
        answers = [at for at, message in enumerate(messages) if isinstance(message, ToolMessage)]
        shown = list(messages)
        for at in answers[:-KEPT]:
            shown[at] = messages[at].model_copy(update={"content": LEFT_OUT, "artifact": None})
        return shown

    def _tokens(self, messages: list[AnyMessage]) -> int:
        for at, message in enumerate(messages):
            if at < len(self._counted) and self._counted[at][0] is message:
                continue
            del self._counted[at:]
            self._counted.append((message, count_tokens_approximately([message])))
        del self._counted[len(messages) :]
        return sum(tokens for _, tokens in self._counted)
