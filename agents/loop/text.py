"""Bounded text: what a model is given has a limit, and says where it was cut."""

from __future__ import annotations

LINE_LIMIT = 500


def cut(text: str, limit: int) -> str:
    """At most about `limit` characters: the beginning and the end, with a line that says how much is left out."""
    if len(text) <= limit:
        return text
    head = limit * 2 // 5
    tail = limit - head
    return f"{text[:head]}\n[... {len(text) - limit} characters left out ...]\n{text[-tail:]}"


def numbered(text: str, first: int, last: int) -> str:
    """Lines `first` to `last` (from 1, inclusive), each with its number; a very long line is cut."""
    lines = text.splitlines()
    shown = lines[first - 1 : last]
    return "\n".join(f"{number:>5}\t{line[:LINE_LIMIT]}{'…' if len(line) > LINE_LIMIT else ''}" for number, line in enumerate(shown, first))


def one_line(text: str, limit: int = 120) -> str:
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1] + "…"
