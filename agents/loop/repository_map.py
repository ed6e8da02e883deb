"""A map of a repository for a reader who has not seen it: its files with their symbols, the most useful first, cut to a budget."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import PurePosixPath

from agents.loop.reading import Reader
from shared.errors import InvalidRequestError, NotFoundError

BUDGET = 6_000
"""Characters."""
READ_FILES = 1_500
READ_BYTES = 8_000_000
_SYMBOLS = {
    ".py": r"^(?:    )?(?:async def|def|class) (\w+)",
    ".js": r"^\s*(?:export )?(?:default )?(?:async )?(?:function\*?|class|const|let) (\w+)",
    ".go": r"^(?:func(?: \([^)]*\))?|type) (\w+)",
    ".rs": r"^\s*(?:pub(?:\([^)]*\))? )?(?:async )?(?:fn|struct|enum|trait) (\w+)",
    ".java": r"^\s*(?:public |protected |private |static |final |abstract )*(?:class|interface|enum|record) (\w+)",
    ".rb": r"^\s*(?:def|class|module) (?:self\.)?(\w+)",
}
_SYMBOLS |= dict.fromkeys((".ts", ".tsx", ".jsx", ".mjs", ".cjs"), _SYMBOLS[".js"]) | {
    ".kt": _SYMBOLS[".java"],
    ".cs": _SYMBOLS[".java"],
}
_COMPILED = {suffix: re.compile(pattern, re.MULTILINE) for suffix, pattern in _SYMBOLS.items()}
_WORD = re.compile(r"[A-Za-z_]\w{2,}")
_PIECE = re.compile(r"[A-Z]?[a-z]{3,}|[A-Z]{3,}")


@dataclass(frozen=True)
class _Source:
    path: str
    symbols: list[str]
    words: set[str]


async def repository_map(reader: Reader, request: str, budget: int = BUDGET) -> str:
    """One line a file: `path: symbol, symbol`. Files the request speaks of come first, then those that others use most."""
    files = await reader.files()
    asked = _pieces(request)
    code = sorted((path for path in files if PurePosixPath(path).suffix in _COMPILED), key=lambda path: (-len(asked & _pieces(path)), path))
    sources: list[_Source] = []
    read = 0
    for path in code[:READ_FILES]:
        try:
            text = await reader.text(path)
        except (InvalidRequestError, NotFoundError):
            continue
        read += len(text)
        if read > READ_BYTES:
            break
        sources.append(await asyncio.to_thread(_source, path, text))
    return _drawn(files, _ranked(sources, asked), asked, budget)


def _source(path: str, text: str) -> _Source:
    found = dict.fromkeys(_COMPILED[PurePosixPath(path).suffix].findall(text))
    return _Source(path, list(found), set(_WORD.findall(text)))


def _ranked(sources: list[_Source], asked: set[str]) -> list[tuple[_Source, list[str]]]:
    """Each file with its symbols, both by worth: spoken of in the request, then used by how many other files."""
    used = Counter(word for source in sources for word in source.words)

    def worth(symbol: str) -> float:
        return 10.0 * len(asked & _pieces(symbol)) + min(used[symbol] - 1, 20)

    def weight(source: _Source) -> float:
        named = 15.0 * len(asked & _pieces(source.path))
        return named + sum(sorted((worth(symbol) for symbol in source.symbols if not symbol.startswith("__")), reverse=True)[:5])

    ranked = sorted(sources, key=lambda source: (-weight(source), source.path))
    return [(source, sorted(source.symbols, key=lambda symbol: -worth(symbol))) for source in ranked]


def _drawn(files: list[str], ranked: list[tuple[_Source, list[str]]], asked: set[str], budget: int) -> str:
    lines: list[str] = []
    left = budget
    drawn = {source.path for source, _ in ranked}
    others = sorted((path for path in files if path not in drawn), key=lambda path: (-len(asked & _pieces(path)), path.count("/"), path))
    for line in [*(_line(source.path, symbols) for source, symbols in ranked), *others]:
        if len(line) + 1 > left:
            break
        lines.append(line)
        left -= len(line) + 1
    hidden = len(files) - len(lines)
    return "\n".join(lines) + (f"\n[{hidden} more files; list or search to find them]" if hidden > 0 else "")


def _line(path: str, symbols: list[str]) -> str:
    shown = ", ".join(symbols[:12]) + (", …" if len(symbols) > 12 else "")
    return f"{path}: {shown}" if symbols else path


def _pieces(text: str) -> set[str]:
    """The words in a text or a name: `load_conf` and `LoadConf` both have load and conf."""
    return {piece.lower() for piece in _PIECE.findall(text)}
