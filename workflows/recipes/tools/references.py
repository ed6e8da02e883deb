"""Which occurrences of a name mean a definition, as rope's inference sees it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from workflows.recipes.tools.code_words import CodeWords
from workflows.recipes.tools.python_names import Definition
from workflows.recipes.tools.source_files import Refused, Source

_BUILT_IN = (str, bytes, dict, list, set, tuple, int, float, object, BaseException)
_USUAL = """close read write open flush run start stop send name path load dump save next wait acquire release submit result cancel
connect execute fetch commit put seek match search group value data"""
COMMON = {name for kind in _BUILT_IN for name in dir(kind)} | set(_USUAL.split())
"""Names so usual that an object of unknown type says nothing."""

Places = dict[str, set[int]]


@dataclass
class References:
    """Offsets in normalised text by file: certain ones, and uses `x.name` on objects of unknown type."""

    places: Places = field(default_factory=dict)
    unknown: Places = field(default_factory=dict)


class Finder:
    """Finds what a definition's name refers to in the files that mention it. Nothing of the repository is imported."""

    def __init__(self, files: list[str], sources: Mapping[str, Source], old: str) -> None:
        from workflows.recipes.tools.rope_project import ReadOnlyProject

        self._project = ReadOnlyProject(os.getcwd(), files)
        self._sources, self._old = sources, old

    def offset(self, each: Definition) -> int:
        return self._sources[each.path].offset(each.line, each.column)

    def reaches(self, target: Definition, others: Iterable[Definition]) -> bool:
        """Whether renaming `target` renames every one of the others too (a method and its overrides)."""
        wanted: Places = {}
        for each in others:
            wanted.setdefault(each.path, set()).add(self.offset(each))
        found = self.find(target, wanted).places
        return all(offsets <= found.get(path, set()) for path, offsets in wanted.items())

    def find(self, target: Definition, only: Places | None = None) -> References:
        """Every reference to `target`; with `only`, the judgement of those offsets alone. Raises `Refused`."""
        from rope.refactor import occurrences
        from rope.refactor.rename import Rename, _is_local

        result = References({target.path: {self.offset(target)}})
        try:
            renaming = Rename(self._project, self._project.get_resource(target.path), self.offset(target))
            finder = occurrences.create_finder(
                self._project, self._old, renaming.old_pyname, instance=renaming.old_instance, in_hierarchy=renaming.is_method()
            )
            local = _is_local(renaming.old_pyname)
        except Exception as exc:  # rope's inference raises whatever it stumbles over
            raise Refused(
                "not_understood",
                f"`{target.qualified}` in `{target.path}`, line {target.line}, is defined in a way that could not be followed.",
                "Name another symbol, or replace the text instead: replace 'old' with 'new' in PATH.",
            ) from exc
        judges = finder.filters
        finder._textual_finder = CodeWords(self._old)
        finder.filters = [lambda occurrence: self._judge(occurrence, judges, target, result, only)]
        for path in [target.path] if local else self._sources if only is None else only:
            resource = self._project.get_resource(path)
            for occurrence in finder.find_occurrences(resource=resource):
                result.places.setdefault(path, set()).add(occurrence.get_word_range()[0])
            self._share_tree(path, resource)
        return result

    def _judge(self, occurrence: Any, judges: list[Any], target: Definition, result: References, only: Places | None) -> bool:
        path = occurrence.resource.path
        if only is not None and occurrence.offset not in only.get(path, ()):
            return False
        try:
            if any(judge(occurrence) for judge in judges):
                return True
            unsure = bool(occurrence.is_unsure())
        except Exception:  # as above: what cannot be inferred is unknown
            unsure = True
        if not unsure:
            return False
        owner = self._owner(path, occurrence.offset)
        if owner.startswith("super(") and target.kind == "method":
            return True
        if owner and not occurrence.is_in_import_statement():
            result.unknown.setdefault(path, set()).add(occurrence.get_word_range()[0])
        return False

    def _owner(self, path: str, offset: int) -> str:
        """What stands before the dot, or nothing."""
        from rope.base import worder

        primary: str = worder.Worder(self._sources[path].plain).get_primary_at(offset)
        return primary.rpartition(".")[0]

    def _share_tree(self, path: str, resource: Any) -> None:
        """Parsing is dear: the tree that rope has read is used on."""
        source = self._sources[path]
        if "tree" not in source.__dict__:
            tree = self._project.get_pymodule(resource).get_ast()
            if tree.body:
                source.tree = tree
