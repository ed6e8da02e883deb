"""A map of a repository for a reader who has not seen it: its files with their symbols, the most useful first, cut to a budget."""

from __future__ import annotations

import re
from dataclasses import dataclass

from agents.loop.reading import Reader

BUDGET = 6_000
"""Characters."""
PARSED = 1_000
"""Files whose symbols are looked for: those that speak most of what was asked."""
SECONDS = 8
_PIECE = re.compile(r"[A-Z]?[a-z]{3,}|[A-Z]{3,}")


@dataclass(frozen=True)
class _Source:
    """`symbols`: how many files each name stands in."""

    path: str
    symbols: dict[str, int]


async def repository_map(reader: Reader, request: str, budget: int = BUDGET) -> str:
    """One line a file: `path: symbol, symbol`. Files the request speaks of come first, then those that others use most.

    The symbols are found by tree-sitter inside the sandbox, in one call however many files there are.
    """
    files = await reader.files()
    asked = _pieces(request)
    wanted = {"files": files, "asked": sorted(asked), "parse": PARSED, "seconds": SECONDS}
    told = await reader.tool("map_symbols.py", wanted, timeout_s=4 * SECONDS)
    sources = [_Source(found["path"], dict(found["symbols"])) for found in told["files"]] if told is not None else []
    return _drawn(files, _ranked(sources, asked), asked, budget)


def _ranked(sources: list[_Source], asked: set[str]) -> list[tuple[_Source, list[str]]]:
    """Each file with its symbols, both by worth: spoken of in the request, then used by how many other files."""

    def worth(symbol: str, used: int) -> float:
        return 10.0 * len(asked & _pieces(symbol)) + max(0, min(used - 1, 20))

    def weight(source: _Source) -> float:
        named = 15.0 * len(asked & _pieces(source.path))
        known = (worth(symbol, used) for symbol, used in source.symbols.items() if not symbol.startswith("__"))
        return named + sum(sorted(known, reverse=True)[:5])

    ranked = sorted(sources, key=lambda source: (-weight(source), source.path))
    return [(source, sorted(source.symbols, key=lambda symbol: -worth(symbol, source.symbols[symbol]))) for source in ranked]


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
