"""Mentions in files that are not Python: packaging metadata, and documents that name the symbol in full."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from workflows.recipes.tools.mentions import full_name
from workflows.recipes.tools.python_names import Definition

PROSE = (".md", ".rst", ".txt")
SETTINGS = (".toml", ".cfg", ".ini", ".yml", ".yaml", ".json")
_HISTORY = re.compile(r"(?:^|/)(?:change|history|news|release|whats_?new|announce|licen[cs]e|.*\.egg-info/)", re.IGNORECASE)
_LARGEST = 2_000_000
_METADATA = ("pyproject.toml", "setup.cfg", "setup.py", "entry_points.txt")
_DIRECTIVE = rb"\.\. +(?:py:)?(?:auto)?(?:function|class|data|exception|method|attribute|decorator)::[ \t]+"

Changed = dict[str, tuple[bytes, int]]


def entry_points(files: Iterable[str], target: Definition, modules: set[str], new: str) -> Changed:
    """New bytes and number of changes of the packaging files that name the symbol as `package.module:name`."""
    names = "|".join(sorted(re.escape(module) for module in modules))
    scope = re.escape(target.scope + "." if target.scope else "")
    pattern = re.compile(rf"(?<![\w.])((?:{names}):{scope}){re.escape(target.name)}(?!\w)".encode())
    chosen = [path for path in files if os.path.basename(path) in _METADATA]
    return _substituted(chosen, lambda data: pattern.subn(lambda match: match[1] + new.encode(), data))


def documents(files: Iterable[str], target: Definition, modules: set[str], new: str) -> Changed:
    """The same of documents: full dotted paths, and Sphinx directives below the module's own. What tells history stays as it is."""
    old, fresh = target.name.encode(), new.encode()
    full = re.compile(full_name(target, modules).pattern.encode())
    here = re.compile(
        rb"(?m)^([ \t]*" + _DIRECTIVE + rb"|[ \t]+(?=[\w.]+[ \t]*\r?$))" + re.escape(target.qualified.encode()) + rb"(?=[ \t\r(.]|$)"
    )
    current = re.compile(rb"(?m)^[ \t]*\.\. +(?:py:)?(?:automodule|currentmodule|module)::[ \t]+([\w.]+)")

    def change(data: bytes) -> tuple[bytes, int]:
        marks = [(match.start(), match[1].decode()) for match in current.finditer(data)]
        offsets = {match.start("old") for match in full.finditer(data)}
        for match in here.finditer(data):
            module = next((name for start, name in reversed(marks) if start < match.start()), "")
            if module in modules:
                offsets.add(match.end() - len(old))
        for offset in sorted(offsets, reverse=True):
            data = data[:offset] + fresh + data[offset + len(old) :]
        return data, len(offsets)

    return _substituted((path for path in files if path.endswith(PROSE) and not _HISTORY.search(path)), change, old)


def _substituted(paths: Iterable[str], change: Callable[[bytes], tuple[bytes, int]], wanted: bytes = b"") -> Changed:
    found: Changed = {}
    for path in paths:
        if os.path.getsize(path) < _LARGEST and wanted in (data := Path(path).read_bytes()):
            changed, number = change(data)
            if number:
                found[path] = (changed, number)
    return found


def mentions(files: Iterable[str], changed: Changed, old: str) -> dict[str, int]:
    """How often the old name is left in documents and settings."""
    pattern = re.compile(rb"(?<!\w)" + re.escape(old.encode()) + rb"(?!\w)")
    found = {}
    for path in files:
        if path.endswith(PROSE + SETTINGS) and os.path.getsize(path) < _LARGEST:
            data = changed[path][0] if path in changed else Path(path).read_bytes()
            if old.encode() in data and (number := len(pattern.findall(data))):
                found[path] = number
    return found
