"""A message made comparable: one line, lower case, plain apostrophes, bounded length."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass

LIMIT = 2_000
"""Characters of a message that the rules look at; what a person wants is said early."""

_WORD = re.compile(r"[^\W_]+(?:['._/-][^\W_]+)*|[✅✔👍👌❌🚫👎]|[+-]1\b")


@dataclass(frozen=True)
class Text:
    """`raw` keeps its case; `low` is lower case; `words` are the words of `low`."""

    raw: str
    low: str
    words: tuple[str, ...]

    @property
    def first(self) -> str:
        return self.words[0] if self.words else ""

    @property
    def is_question(self) -> bool:
        return self.low.rstrip(" \"')").endswith(("?", "？"))


def read_text(message: str) -> Text:
    cut = message[: LIMIT * 2] if len(message) > LIMIT else message
    normal = unicodedata.normalize("NFC", cut).replace("’", "'").replace("`", "`").replace("\ufe0f", "")
    raw = " ".join(normal.split())[:LIMIT]
    low = raw.lower()
    return Text(raw, low, tuple(_WORD.findall(low)))


def word_set(words: str) -> frozenset[str]:
    """The words of a text, for tables that read better as prose."""
    return frozenset(words.split())
