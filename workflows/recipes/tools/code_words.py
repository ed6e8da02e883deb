"""Where a word stands in Python code: not in comments and strings, but in the fields of f-strings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

_COMMENT = r"#[^\n]*"
_STRING = r"(?<!\w)(?P<prefix>[A-Za-z]{0,2})(?P<quote>'''|\"\"\"|'|\")(?P<body>(?:\\.|(?!(?P=quote))[^\\])*?)(?:(?P=quote)|\Z)"


@lru_cache(maxsize=8)
def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(rf"{_COMMENT}|{_STRING}|(?<!\w)(?P<word>{re.escape(name)})(?!\w)", re.DOTALL)


def code_offsets(text: str, name: str, start: int = 0, end: int | None = None) -> Iterator[int]:
    """Offsets of `name` in the code of `text[start:end]`, in order."""
    for found in _pattern(name).finditer(text, start, len(text) if end is None else end):
        if found["word"]:
            yield found.start("word")
        elif found["quote"] and "f" in found["prefix"].lower() and name in found["body"]:
            for first, last in _fields(text, found.start("body"), found.end("body")):
                yield from code_offsets(text, name, first, last)


def _fields(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The expressions between the braces of an f-string's body, those of nested format specifications included."""
    at = start
    while at < end:
        if text[at] != "{":
            at += 1
        elif text[at + 1 : at + 2] == "{":
            at += 2
        else:
            first, at = at + 1, _field_end(text, at + 1, end)
            yield first, at


def _field_end(text: str, at: int, end: int) -> int:
    """Where the expression ends: at its closing brace, its format or its conversion."""
    depth, quote = 0, ""
    while at < end:
        sign = text[at]
        if quote:
            quote = "" if sign == quote else quote
        elif sign in "'\"":
            quote = sign
        elif sign in "([{":
            depth += 1
        elif depth and sign in ")]}":
            depth -= 1
        elif not depth and (sign in "}:" or (sign == "!" and text[at + 1 : at + 2] != "=")):
            break
        at += 1
    return at


class CodeWords:
    """What rope looks for a name with; its own search gives wrong offsets in f-strings of several lines."""

    def __init__(self, name: str) -> None:
        self._name = name

    def find_offsets(self, source: str) -> Iterator[int]:
        return code_offsets(source, self._name)
