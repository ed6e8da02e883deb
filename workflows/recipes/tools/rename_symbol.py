"""Rename a symbol: JSON {old, new, path?, kind?, files, protected?, write} on standard input, the outcome as JSON on standard output.

The repository's code is parsed, never imported. Only the bytes of the name itself change; line ends, encodings and byte order
marks stay. The outcome's `status` is ok, already, or a reason why not (not_found, ambiguous, name_taken, ...), with a `message`.
"""

from __future__ import annotations

import gc
import json
import sys
import warnings
from functools import cache
from pathlib import Path
from typing import Any

from workflows.recipes.tools.documents import documents, entry_points, mentions
from workflows.recipes.tools.mentions import documented, exact_strings
from workflows.recipes.tools.python_names import bindings, decode, parse, word
from workflows.recipes.tools.references import COMMON, Finder, Places, References
from workflows.recipes.tools.source_files import Refused, Source, is_python, load, regular_files
from workflows.recipes.tools.targets import Target, choose


def rename(request: dict[str, Any]) -> dict[str, Any]:
    old, new = str(request["old"]).rpartition(".")[2], str(request["new"])
    files = regular_files(request["files"])
    sources, unreadable = load(files, old)
    finder = cache(lambda: Finder(files, sources, old))
    target = choose(sources, files, request, finder)
    found = finder().find(target.chosen)
    for stub in target.stubs:
        add(found.places, finder().find(stub).places)
    alone, guessed = guess(found, target, finder())
    places, modules = found.places, module_names_of(files, {*found.places, target.chosen.path}) if not target.chosen.local else set()
    if not target.chosen.local and target.chosen.kind != "argument":
        add(places, exact_strings(sources, places, target.chosen, modules))
    if not target.chosen.local or target.chosen.kind == "argument":
        add(places, documented(sources, places, target.chosen, modules, alone))
    check_taken(sources, places, target, new)
    outputs = {path: sources[path].replaced(offsets, old, new) for path, offsets in sorted(places.items()) if offsets}
    check_compiles(sources, outputs)
    check_protected(outputs, request.get("protected", ()))
    texts = changed_texts(files, target, modules, new, set(request.get("protected", ())))
    outputs.update({path: data for path, (data, _) in texts.items()})
    if request["write"]:
        for path, data in outputs.items():
            Path(path).write_bytes(data)
    undecided = sum(len(offsets) for offsets in found.unknown.values()) - guessed
    return {
        "status": "ok",
        "files": list(outputs),
        "occurrences": sum(len(offsets) for offsets in places.values()) + sum(number for _, number in texts.values()),
        "what": f"the {target.chosen.kind} `{target.chosen.qualified}` of `{target.chosen.path}`",
        "unsure": guessed + undecided,
        "notes": remaining(target, sources, found, guessed, undecided, mentions(files, texts, old), unreadable),
    }


def add(places: Places, more: Places) -> None:
    for path, offsets in more.items():
        places.setdefault(path, set()).update(offsets)


def guess(found: References, target: Target, finder: Finder) -> tuple[bool, int]:
    """Whether no other definition has the name, and how many uses on objects of unknown type are taken for it because of that."""
    chosen = target.chosen
    member = chosen.kind in ("method", "attribute") or bool(chosen.scope and not chosen.local)
    others = [each for each in target.others if not each.local]
    if not member or chosen.name in COMMON or chosen.name.startswith("__"):
        if not member:
            found.unknown.clear()
        return False, 0
    if not all(finder.offset(each) in found.places.get(each.path, ()) for each in others):
        return False, 0
    add(found.places, found.unknown)
    return True, sum(len(offsets) for offsets in found.unknown.values())


def module_names_of(files: list[str], paths: set[str]) -> set[str]:
    """The dotted names that the files can be imported by, and those of packages that re-export all of their names."""
    from workflows.recipes.tools.rope_project import exporting_names, module_names, source_folders

    python = [path for path in files if is_python(path)]
    folders = source_folders(python)
    return exporting_names(python, {name for path in paths for name in module_names(path, folders)}, folders)


def changed_texts(files: list[str], target: Target, modules: set[str], new: str, protected: set[str]) -> dict[str, tuple[bytes, int]]:
    if target.chosen.local or target.chosen.kind == "argument":
        return {}
    allowed = [path for path in files if path not in protected]
    return documents(allowed, target.chosen, modules, new) | entry_points(allowed, target.chosen, modules, new)


def check_taken(sources: dict[str, Source], places: Places, target: Target, new: str) -> None:
    """Refuse when the new name already means something else where the old one is used."""
    chosen = target.chosen
    for path, offsets in places.items():
        source = sources[path]
        if source.tree is None or not word(new).search(source.plain):
            continue
        names = [offset for offset in offsets if source.plain[offset - 1 : offset] != "."]
        for first, last, is_class in bindings(source.tree, new):
            lines = [source.line_of(offset) for offset in names]
            inside = [line for line in lines if first <= line <= last]
            member = bool(chosen.scope) and not chosen.local
            if inside and (not is_class or member) and (not member or is_class):
                raise Refused(
                    "name_taken",
                    f"`{new}` is already used for something else in `{path}` (where `{chosen.qualified}` is used, line {inside[0]}).",
                    "Choose another name.",
                )


def check_compiles(sources: dict[str, Source], outputs: dict[str, bytes]) -> None:
    for path, data in outputs.items():
        if sources[path].tree is not None and parse(decode(data)[0]) is None:
            raise Refused("would_not_compile", f"After the rename `{path}` would not compile.", "Choose another name.")


def check_protected(outputs: dict[str, bytes], protected: list[str]) -> None:
    if touched := [path for path in outputs if path in set(protected)]:
        shown = ", ".join(f"`{path}`" for path in touched[:8])
        raise Refused(
            "protected_path",
            f"The rename would change {shown}, which `.persevere.yml` says never to touch.",
            "Name another symbol, or change `never_touch`.",
        )


def remaining(
    target: Target,
    sources: dict[str, Source],
    found: References,
    guessed: int,
    undecided: int,
    documents: dict[str, int],
    unreadable: list[str],
) -> list[str]:
    """What a person should look at: uses judged by name or left for want of a type, mentions that were left alone."""
    old, places, notes = target.chosen.name, found.places, []
    if guessed:
        some = "1 use on an object of unknown type was" if guessed == 1 else f"{guessed} uses on objects of unknown type were"
        notes.append(f"{some} renamed because no other `{old}` is defined here.")
    if undecided:
        some = (
            f"1 use `.{old}` on an object of unknown type was"
            if undecided == 1
            else f"{undecided} uses `.{old}` on objects of unknown type were"
        )
        notes.append(
            f"{some} left alone in: {listed(found.unknown)}. Others have a member of that name too; see whether these have to follow."
        )
    if target.passed_over:
        others = ", ".join(f"`{each.path}:{each.qualified}`" for each in target.passed_over[:5])
        more = f" and {len(target.passed_over) - 5} more" if len(target.passed_over) > 5 else ""
        notes.append(f"Other definitions of the name are not meant and stay: {others}{more}.")
    left: Places = {}
    for path, source in sources.items():
        known = places.get(path, set()) | found.unknown.get(path, set())
        left[path] = {match.start() for match in word(old).finditer(source.plain) if match.start() not in known}
    if any(left.values()):
        notes.append(f"`{old}` is still mentioned (comments, strings or other symbols) in: {listed(left)}.")
    if documents:
        notes.append(f"Documents and settings still mention `{old}`: {listed(documents)}.")
    if unreadable:
        notes.append(f"Not readable in their declared encoding, left alone: {', '.join(unreadable[:5])}.")
    return notes


def listed(numbers: dict[str, set[int]] | dict[str, int], limit: int = 8) -> str:
    """`path (number)`, the largest numbers first."""
    counts = {path: each if isinstance(each, int) else len(each) for path, each in numbers.items()}
    ranked = sorted((path for path in counts if counts[path]), key=lambda path: (-counts[path], path))
    shown = ", ".join(f"{path} ({counts[path]})" for path in ranked[:limit])
    return shown + (f" and {len(ranked) - limit} more files" if len(ranked) > limit else "")


def main() -> None:
    from workflows.recipes.tools.rope_project import tune

    warnings.simplefilter("ignore")
    tune()
    gc.set_threshold(200_000, 50, 100)  # syntax trees stay until the end: looking through them again and again frees nothing
    request = json.load(sys.stdin)
    try:
        outcome = rename(request)
    except Refused as refused:
        outcome = refused.outcome
    json.dump(outcome, sys.stdout)


if __name__ == "__main__":
    main()
