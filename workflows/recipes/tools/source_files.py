"""A Python file held as bytes, as normalised text and as syntax; only the bytes of a name are ever replaced in it."""

from __future__ import annotations

import ast
import os
from collections.abc import Iterable
from functools import cached_property
from pathlib import Path

from workflows.recipes.tools.python_names import BOM, decode, parse, word


class Refused(Exception):
    """Why the rename is not done: `outcome` is what the tool answers."""

    def __init__(self, status: str, message: str, next_step: str = "") -> None:
        super().__init__(message)
        self.outcome = {"status": status, "message": message, "next_step": next_step}


class Source:
    """One Python file that mentions the old or the new name. Raises `ValueError` when its encoding cannot be kept."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.data = Path(path).read_bytes()
        self.text, self.encoding = decode(self.data)
        self.plain = self.text.removeprefix(BOM).replace("\r\n", "\n").replace("\r", "\n")
        self.lines = self.plain.split("\n")

    @cached_property
    def tree(self) -> ast.Module | None:
        return parse(self.plain)

    @cached_property
    def _starts(self) -> list[int]:
        starts = [0]
        for line in self.lines:
            starts.append(starts[-1] + len(line) + 1)
        return starts

    def offset(self, line: int, column: int) -> int:
        """Characters from the start of `plain`; `line` from 1, `column` in characters."""
        return self._starts[line - 1] + column

    def byte_offset(self, line: int, column: int) -> int:
        """The same with the column in bytes, as syntax trees have it."""
        return self.offset(line, len(self.lines[line - 1].encode()[:column].decode(errors="ignore")))

    def span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        end_line, end_column = node.end_lineno or node.lineno, node.end_col_offset
        return self.byte_offset(node.lineno, node.col_offset), self.byte_offset(end_line, end_column or 0)

    def line_of(self, offset: int) -> int:
        return self.plain.count("\n", 0, offset) + 1

    def replaced(self, offsets: set[int], old: str, new: str) -> bytes:
        """The file's bytes with the name replaced at those offsets of `plain`; everything else is untouched."""
        chosen = [found.start() in offsets for found in word(old).finditer(self.plain)]
        choices = iter(chosen)
        return word(old).sub(lambda found: new if next(choices) else found.group(), self.text).encode(self.encoding)


def is_python(path: str) -> bool:
    return path.endswith((".py", ".pyi"))


def regular_files(paths: Iterable[str]) -> list[str]:
    return [path for path in paths if os.path.isfile(path) and not os.path.islink(path)]


def load(files: Iterable[str], name: str) -> tuple[dict[str, Source], list[str]]:
    """The Python files that have the name as a word, and those that cannot be read in their declared encoding."""
    sources, unreadable = {}, []
    for path in files:
        if is_python(path):
            data = Path(path).read_bytes()
            if name.encode() in data or not data.isascii():
                try:
                    source = Source(path)
                except (ValueError, LookupError):
                    if name.encode() in data:
                        unreadable.append(path)
                    continue
                if word(name).search(source.plain):
                    sources[path] = source
    return sources, unreadable
