"""Rename a symbol: JSON {old, new, path?, kind?, files, write} on standard input, the outcome as JSON on standard output.

The repository's code is parsed, never imported. Only the bytes of the name itself change; line ends, encodings and byte order
marks stay. The outcome's `status` is ok, already, or a reason why not (not_found, ambiguous, name_taken, ...), with a `message`.
"""

from __future__ import annotations

import ast
import difflib
import gc
import json
import os
import re
import sys
import warnings
from functools import cached_property
from pathlib import Path
from typing import Any

from workflows.recipes.tools.entry_points import entry_points
from workflows.recipes.tools.python_names import BOM, Definition, bindings, decode, definitions, exported_strings, parse, word

COMMON = {name for kind in (str, bytes, dict, list, set, tuple, int, float, object, BaseException) for name in dir(kind)} | {
    *(
        "close",
        "read",
        "write",
        "open",
        "flush",
        "run",
        "start",
        "stop",
        "send",
        "name",
        "path",
        "load",
        "dump",
        "save",
        "next",
        "wait",
        "acquire",
    ),
    *(
        "release",
        "submit",
        "result",
        "cancel",
        "connect",
        "execute",
        "fetch",
        "commit",
        "put",
        "seek",
        "match",
        "search",
        "group",
        "value",
        "data",
    ),
}
DOCUMENTS = (".md", ".rst", ".txt", ".toml", ".cfg", ".ini", ".yml", ".yaml", ".json")


class Refused(Exception):
    def __init__(self, status: str, message: str, next_step: str = "") -> None:
        super().__init__(message)
        self.outcome = {"status": status, "message": message, "next_step": next_step}


class Source:
    """One Python file that mentions the old or the new name."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.data = Path(path).read_bytes()
        self.text, self.encoding = decode(self.data)
        self.plain = self.text.removeprefix(BOM).replace("\r\n", "\n").replace("\r", "\n")
        self.lines = self.plain.split("\n")

    @cached_property
    def tree(self) -> ast.Module | None:
        return parse(self.plain)

    def offset(self, line: int, column: int) -> int:
        return sum(len(text) + 1 for text in self.lines[: line - 1]) + column

    def line_of(self, offset: int) -> int:
        return self.plain.count("\n", 0, offset) + 1

    def replaced(self, offsets: set[int], old: str, new: str) -> bytes:
        """The file's bytes with the name replaced at those offsets of `plain`; everything else is untouched."""
        chosen = [found.start() in offsets for found in word(old).finditer(self.plain)]
        choices = iter(chosen)
        return word(old).sub(lambda found: new if next(choices) else found.group(), self.text).encode(self.encoding)


def rename(request: dict[str, Any]) -> dict[str, Any]:
    wanted, new = str(request["old"]), str(request["new"])
    scope, _, old = wanted.rpartition(".")
    files = [path for path in request["files"] if os.path.isfile(path) and not os.path.islink(path)]
    sources, unreadable = load(files, old)
    target, others = choose(sources, files, scope, old, new, request)
    places, unsure = occurrences(files, sources, target, old, others)
    for path, more in extra_strings(sources, places, files, target, old).items():
        places.setdefault(path, set()).update(more)
    check_taken(sources, places, target, new)
    outputs = {path: sources[path].replaced(offsets, old, new) for path, offsets in sorted(places.items()) if offsets}
    check_compiles(sources, outputs)
    entries = entry_points(files, set(places), target, old, new)
    outputs.update({path: data for path, (data, _) in entries.items()})
    if request["write"]:
        for path, data in outputs.items():
            Path(path).write_bytes(data)
    notes = remaining([path for path in files if path not in entries], sources, places, old, unreadable, unsure)
    return {
        "status": "ok",
        "files": list(outputs),
        "occurrences": sum(len(offsets) for offsets in places.values()) + sum(number for _, number in entries.values()),
        "what": f"the {target.kind} `{target.qualified}` of `{target.path}`",
        "unsure": unsure,
        "notes": notes,
    }


def load(files: list[str], old: str) -> tuple[dict[str, Source], list[str]]:
    sources, unreadable = {}, []
    for path in files:
        if path.endswith((".py", ".pyi")):
            data = Path(path).read_bytes()
            if old.encode() in data or not data.isascii():
                try:
                    source = Source(path)
                except (ValueError, LookupError):
                    if old.encode() in data:
                        unreadable.append(path)
                    continue
                if word(old).search(source.plain):
                    sources[path] = source
    return sources, unreadable


def choose(
    sources: dict[str, Source], files: list[str], scope: str, old: str, new: str, request: dict[str, Any]
) -> tuple[Definition, list[Definition]]:
    """The definition meant, and every other definition of the same name in the repository."""
    bound = re.compile(rf"(?:def|class|for|as|lambda)\s[^\n]*?\b{old}\b|\b{old}\s*(?:[,:=)\]#\\]|[-+*/%&|^@<>]+=|in\b)|[*,(\[]\s*{old}\b")
    everything = [
        found
        for source in sources.values()
        if bound.search(source.plain) and source.tree
        for found in definitions(source.path, source.tree, source.lines, old)
    ]
    found = [each for each in everything if fits(each, scope, request.get("path"), request.get("kind"))]
    found = [each for each in found if not each.local] or found
    if not found:
        raise missing(sources, files, scope, old, new, request, everything)
    first = {(each.path, each.scope): each for each in reversed(found)}
    strong = {"class", "function", "method"}
    choices = sorted(first.values(), key=lambda each: (each.kind not in strong, each.path, each.line))
    others = [each for each in everything if not each.local or each.kind != "argument"]
    if len(choices) > 1:
        choices = one_family(files, sources, choices, old)
    if len(choices) > 1:
        places = [f"`{each.path}:{each.qualified}` (line {each.line}, {each.kind})" for each in choices]
        shown = ", ".join(places[:8]) + (f" and {len(places) - 8} more" if len(places) > 8 else "")
        example = f"rename {choices[0].path}:{choices[0].qualified} to {new}"
        raise Refused(
            "ambiguous",
            f"`{old}` is defined in {len(places)} places: {shown}.",
            f"Say which one is meant as `path.py:symbol`, for instance: {example}",
        )
    return choices[0], others


def fits(each: Definition, scope: str, path: str | None, kind: str | None) -> bool:
    if kind and kind != each.kind and {kind, each.kind} - {"function", "method"} and {kind, each.kind} - {"variable", "attribute"}:
        return False
    if path and not (each.path == path.removeprefix("./") or each.path.startswith(path.removeprefix("./").rstrip("/") + "/")):
        return False
    dotted = each.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    full = f"{dotted}.{each.scope}".rstrip(".")
    return not scope or full == scope or full.endswith("." + scope)


def one_family(files: list[str], sources: dict[str, Source], choices: list[Definition], old: str) -> list[Definition]:
    """One definition when renaming it reaches all the others (a method overridden in subclasses), else all of them."""
    if len(choices) > 60:
        return choices
    for candidate in choices:
        places, _ = occurrences(files, sources, candidate, old, choices)
        if all(sources[each.path].offset(each.line, each.column) in places.get(each.path, ()) for each in choices):
            return [candidate]
        if candidate.kind != "method":
            break
    return choices


def missing(
    sources: dict[str, Source], files: list[str], scope: str, old: str, new: str, request: dict[str, Any], everything: list[Definition]
) -> Refused:
    where = f" in `{request['path']}`" if request.get("path") else f" in `{scope}`" if scope else ""
    binds = re.compile(rb"(?:def|class)[ \t]+" + new.encode() + rb"\b|\b" + new.encode() + rb"[ \t]*[:=,)]")
    again, _ = load([path for path in files if path.endswith((".py", ".pyi")) and binds.search(Path(path).read_bytes())], new)
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


def occurrences(
    files: list[str], sources: dict[str, Source], target: Definition, old: str, others: list[Definition]
) -> tuple[dict[str, set[int]], int]:
    """Offsets of the name, by file, in normalised text; and how many of them were decided by the name being the only one."""
    from rope.base import worder
    from rope.refactor import occurrences as rope_occurrences
    from rope.refactor.rename import Rename, _is_local

    from workflows.recipes.tools.rope_project import ReadOnlyProject

    project = PROJECTS.get("one") or PROJECTS.setdefault("one", ReadOnlyProject(os.getcwd(), files))
    resource = project.get_resource(target.path)
    renaming = Rename(project, resource, sources[target.path].offset(target.line, target.column))
    member = target.kind in ("method", "attribute") or bool(target.scope and not target.local)
    judge = member and old not in COMMON and not old.startswith("__")
    guess = False
    unsure: set[tuple[str, int]] = set()

    def decide(occurrence: Any) -> bool:
        owner = worder.Worder(occurrence.resource.read()).get_primary_at(occurrence.offset).rpartition(".")[0]
        if owner.startswith("super(") and target.kind == "method":
            return True
        if guess and owner and not occurrence.is_in_import_statement():
            unsure.add((occurrence.resource.path, occurrence.get_word_range()[0]))
            return True
        return False

    def find() -> dict[str, set[int]]:
        finder = rope_occurrences.create_finder(
            project, old, renaming.old_pyname, unsure=decide, instance=renaming.old_instance, in_hierarchy=renaming.is_method()
        )
        places: dict[str, set[int]] = {target.path: {sources[target.path].offset(target.line, target.column)}}
        for path in [target.path] if _is_local(renaming.old_pyname) else sources:
            found = finder.find_occurrences(resource=project.get_resource(path))
            places.setdefault(path, set()).update(occurrence.get_word_range()[0] for occurrence in found)
        return {path: offsets for path, offsets in places.items() if offsets}

    places = find()
    if judge and all(sources[each.path].offset(each.line, each.column) in places.get(each.path, ()) for each in others if not each.local):
        guess = True
        places = find()
    return places, len(unsure)


PROJECTS: dict[str, Any] = {}


def extra_strings(
    sources: dict[str, Source], places: dict[str, set[int]], files: list[str], target: Definition, old: str
) -> dict[str, set[int]]:
    """Offsets inside strings that certainly mean the symbol: `__all__`, and its full dotted path (as in `mock.patch`)."""
    from workflows.recipes.tools.rope_project import module_names, source_folders

    if target.local or target.kind == "argument":
        return {}
    found: dict[str, set[int]] = {}
    folders = source_folders([path for path in files if path.endswith((".py", ".pyi"))])
    touched = set(places)
    dotted = {
        f"{module}{sign}{target.qualified}"
        for path in touched | {target.path}
        for module in module_names(path, folders)
        for sign in (".", ":")
    }
    for path, source in sources.items():
        mentions = any(name in source.plain for name in dotted)
        if not mentions and "__all__" not in source.plain:
            continue
        for node in ast.walk(source.tree) if source.tree and mentions else ():
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in dotted:
                found.setdefault(path, set()).update(last_word(source, node, old))
        if path in touched and not target.scope and source.tree:
            for constant in exported_strings(source.tree, old):
                found.setdefault(path, set()).update(last_word(source, constant, old))
    return found


def last_word(source: Source, node: ast.Constant, old: str) -> set[int]:
    start = source.offset(node.lineno, len(source.lines[node.lineno - 1].encode()[: node.col_offset].decode()))
    end_line = node.end_lineno or node.lineno
    end = source.offset(end_line, len(source.lines[end_line - 1].encode()[: node.end_col_offset].decode()))
    found = [match.start() for match in word(old).finditer(source.plain, start, end)]
    return set(found[-1:])


def check_taken(sources: dict[str, Source], places: dict[str, set[int]], target: Definition, new: str) -> None:
    """Refuse when the new name already means something else where the old one is used."""
    for path, offsets in places.items():
        source = sources[path]
        if source.tree is None or not word(new).search(source.plain):
            continue
        names = [offset for offset in offsets if source.plain[offset - 1 : offset] != "."]
        for first, last, is_class in bindings(source.tree, new):
            lines = [source.line_of(offset) for offset in names]
            inside = [line for line in lines if first <= line <= last]
            member = bool(target.scope) and not target.local
            if inside and (not is_class or member) and (not member or is_class):
                raise Refused(
                    "name_taken",
                    f"`{new}` is already used for something else in `{path}` (where `{target.qualified}` is used, line {inside[0]}).",
                    "Choose another name.",
                )


def check_compiles(sources: dict[str, Source], outputs: dict[str, bytes]) -> None:
    for path, data in outputs.items():
        if sources[path].tree is not None and parse(decode(data)[0]) is None:
            raise Refused("would_not_compile", f"After the rename `{path}` would not compile.", "Choose another name.")


def remaining(
    files: list[str], sources: dict[str, Source], places: dict[str, set[int]], old: str, unreadable: list[str], unsure: int
) -> list[str]:
    """What a person should look at: mentions that were left alone, calls that were judged by name."""
    notes = []
    if unsure:
        notes.append(f"{unsure} uses on objects of unknown type were renamed because no other `{old}` is defined here.")
    left = {
        path: sum(1 for found in word(old).finditer(source.plain) if found.start() not in places.get(path, ()))
        for path, source in sources.items()
    }
    if mentions := [f"{path} ({number})" for path, number in left.items() if number]:
        notes.append(
            f"`{old}` is still mentioned (comments, strings or other symbols) in: {', '.join(mentions[:10])}{' …' if len(mentions) > 10 else ''}."  # noqa: E501
        )
    documents = []
    for path in files:
        if path.endswith(DOCUMENTS) and os.path.getsize(path) < 2_000_000:
            number = len(re.findall(rb"(?<!\w)" + old.encode() + rb"(?!\w)", Path(path).read_bytes()))
            if number:
                documents.append(f"{path} ({number})")
    if documents:
        notes.append(
            f"Documents and settings that mention `{old}` were not changed: {', '.join(documents[:10])}{' …' if len(documents) > 10 else ''}."  # noqa: E501
        )
    if unreadable:
        notes.append(f"Not readable in their declared encoding, left alone: {', '.join(unreadable[:5])}.")
    return notes


def main() -> None:
    from workflows.recipes.tools.rope_project import quiet

    warnings.simplefilter("ignore")
    quiet()
    gc.set_threshold(200_000, 50, 100)  # syntax trees stay until the end: looking through them again and again frees nothing
    request = json.load(sys.stdin)
    try:
        outcome = rename(request)
    except Refused as refused:
        outcome = refused.outcome
    json.dump(outcome, sys.stdout)


if __name__ == "__main__":
    main()
