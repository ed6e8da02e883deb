"""Where a word stands in Python code: not in comments and strings, but in the fields of f-strings."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache

_COMMENT = r"#[^\n]*"
_STRING = r"(?<!\w)(?P<prefix>[A-Za-z]{0,2})(?P<quote>'''|\"\"\"|'|\")(?P<body>(?:\\.|(?!(?P=quote))[^\\])*?)(?:(?P=quote)|\Z)"


@lru_cache(maxsize=8)
def _pattern(name: str) -> re.Pattern[str]:
    """Comments, strings, and the word; an empty name stands for no word at all."""
    wanted = rf"(?<!\w)(?P<word>{re.escape(name)})(?!\w)" if name else r"(?P<word>(?!))"
    return re.compile(rf"{_COMMENT}|{_STRING}|{wanted}", re.DOTALL)


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


def only_code(text: str, start: int = 0, end: int | None = None) -> str:
    """`text[start:end]` at the same length, with comments, strings and the plain text of f-strings made blank."""
    end = len(text) if end is None else end
    parts, at = [], start
    for found in _pattern("").finditer(text, start, end):
        if found["word"] is not None:
            continue
        first, last = found.span()
        parts.append(text[at:first])
        if not found["quote"]:
            parts.append(" " * (last - first))
        elif "f" in found["prefix"].lower():
            parts.append(_only_fields(text, found, last))
        else:
            parts.append('"' + " " * (last - first - 2) + '"' if last - first > 1 else " ")
        at = last
    return "".join([*parts, text[at:end]])


def _only_fields(text: str, found: re.Match[str], last: int) -> str:
    parts, at = [found["prefix"] + '"'], found.start("quote") + 1
    for first, after in _fields(text, found.start("body"), found.end("body")):
        parts += [" " * (first - 1 - at), "{", only_code(text, first, after), "}"]
        at = min(after + 1, last)
    return "".join([*parts, " " * (last - at - 1), '"'])[: last - found.start()]


class CodeWords:
    """What rope looks for a name with; its own search gives wrong offsets in f-strings of several lines."""

    def __init__(self, name: str) -> None:
        self._name = name

    def find_offsets(self, source: str) -> Iterator[int]:
        return code_offsets(source, self._name)
