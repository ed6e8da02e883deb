"""Which definition a request means, and why none where none does."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from workflows.recipes.tools.python_names import Definition, definitions
from workflows.recipes.tools.references import Finder
from workflows.recipes.tools.source_files import Refused, Source, is_python, load

_STRONG = ("class", "function", "method")
_MOST = 60
"""Definitions of one name; of more, the family is not looked for."""


@dataclass
class Target:
    """The definition meant, every other definition of the name that is no argument, and those passed over for this one."""

    chosen: Definition
    others: list[Definition]
    passed_over: list[Definition] = field(default_factory=list)
    stubs: list[Definition] = field(default_factory=list)
    """Definitions of the same symbol in `.pyi` files."""


def choose(sources: Mapping[str, Source], files: list[str], request: Mapping[str, Any], finder: Callable[[], Finder]) -> Target:
    """The one definition that fits the request. Raises `Refused` (not_found, already, ambiguous)."""
    scope, _, old = str(request["old"]).rpartition(".")
    name = rf"(?:(?<![.\w])|(?<=self\.)|(?<=cls\.)){old}"
    bound = re.compile(rf"(?:def|class|for|as|lambda)\s[^\n]*?\b{old}\b|{name}\s*(?:[,:=)\]#\\]|[-+*/%&|^@<>]+=|in\b)|[*,(\[]\s*{old}\b")
    everything = [
        found
        for source in sources.values()
        if bound.search(source.plain) and source.tree
        for found in definitions(source.path, source.tree, source.lines, old)
    ]
    found = [each for each in everything if fits(each, scope, request.get("path"), request.get("kind"))]
    found = [each for each in found if not each.local] or found
    found = [each for each in found if each.kind == request.get("kind")] or found
    if not found:
        raise missing(files, scope, old, request, everything)
    first = {(each.path, each.scope): each for each in reversed(found)}
    choices = sorted(first.values(), key=lambda each: (each.kind not in _STRONG, is_test(each.path), each.path, each.line))
    others = [each for each in everything if not each.local or each.kind != "argument"]
    stubs = [each for each in choices if each.path.endswith(".pyi")]
    real = [each for each in choices if each not in stubs]
    if stubs and len({(each.qualified, each.kind) for each in choices}) == 1 and len(real) == 1:
        return Target(real[0], others, stubs=stubs)
    if len(choices) == 1:
        return Target(choices[0], others)
    if len(choices) <= _MOST:
        for candidate in choices if choices[0].kind == "method" else choices[:1]:
            if candidate.kind in (choices[0].kind, "method") and _reaches(finder(), candidate, choices):
                return Target(candidate, others)
    main = [each for each in choices if each.kind in _STRONG and not is_test(each.path)]
    if len(main) == 1 and main[0].kind != "method":
        return Target(main[0], others, [each for each in choices if each is not main[0]])
    raise _ambiguous(choices, old, str(request["new"]))


def _reaches(finder: Finder, candidate: Definition, choices: list[Definition]) -> bool:
    try:
        return finder.reaches(candidate, choices)
    except Refused:
        return False


def is_test(path: str) -> bool:
    return re.search(r"(?:^|/)(?:tests?|testing|conftest\.py|test_[^/]*|[^/]*_test\.py)(?:/|$)", path) is not None


def _ambiguous(choices: list[Definition], old: str, new: str) -> Refused:
    places = [f"`{each.path}:{each.qualified}` (line {each.line}, {each.kind})" for each in choices]
    shown = ", ".join(places[:8]) + (f" and {len(places) - 8} more" if len(places) > 8 else "")
    example = f"rename {choices[0].path}:{choices[0].qualified} to {new}"
    return Refused(
        "ambiguous",
        f"`{old}` is defined in {len(places)} places: {shown}.",
        f"Say which one is meant as `path.py:symbol`, for instance: {example}",
    )


def fits(each: Definition, scope: str, path: str | None, kind: str | None) -> bool:
    if kind and kind != each.kind and {kind, each.kind} - {"function", "method"} and {kind, each.kind} - {"variable", "attribute"}:
        return False
    if path and not (each.path == path.removeprefix("./") or each.path.startswith(path.removeprefix("./").rstrip("/") + "/")):
        return False
    dotted = each.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    full = f"{dotted}.{each.scope}".rstrip(".")
    return not scope or full == scope or full.endswith("." + scope)


def missing(files: list[str], scope: str, old: str, request: Mapping[str, Any], everything: list[Definition]) -> Refused:
    new = str(request["new"])
    where = f" in `{request['path']}`" if request.get("path") else f" in `{scope}`" if scope else ""
    binds = re.compile(rb"(?:def|class)[ \t]+" + new.encode() + rb"\b|\b" + new.encode() + rb"[ \t]*[:=,)]")
    again, _ = load([path for path in files if is_python(path) and binds.search(Path(path).read_bytes())], new)
    named = [each for source in again.values() if source.tree for each in definitions(source.path, source.tree, source.lines, new)]
    named = [each for each in named if fits(each, scope, request.get("path"), request.get("kind")) and not each.local]
    close = closest(files, old)
    alike = [name for name in close if name != new and difflib.SequenceMatcher(None, name, old).ratio() >= 0.85]
    if named and not alike and not [each for each in everything if not each.local]:
        return Refused("already", f"It is already named `{new}` ({named[0].path}, line {named[0].line}) and no `{old}` is defined{where}.")
    if everything:
        places = ", ".join(f"`{each.path}:{each.qualified}` ({each.kind})" for each in everything[:6])
        return Refused(
            "not_found", f"There is no {request.get('kind') or 'symbol'} `{old}`{where}; it is defined as {places}.", "Name one of these."
        )
    hint = f"Did you mean {' or '.join(f'`{name}`' for name in close)}?" if close else "Check the spelling; names are case-sensitive."
    return Refused("not_found", f"No function, class, method or variable named `{old}` is defined{where or ' in this repository'}.", hint)


def closest(files: list[str], old: str) -> list[str]:
    pattern = re.compile(rb"^[ \t]*(?:async[ \t]+def|def|class)[ \t]+(\w+)|^(\w+)[ \t]*(?::[^=\n]+)?=[^=]", re.MULTILINE)
    names = {
        (first or second).decode(errors="replace")
        for path in files
        if path.endswith(".py")
        for first, second in pattern.findall(Path(path).read_bytes())
    }
    return difflib.get_close_matches(old, sorted(names), n=3, cutoff=0.6)
