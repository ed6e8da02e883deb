"""A rope project that only looks: no settings of the repository, no import of its code, no file outside the given list."""

from __future__ import annotations

import os
import re
import sys
import sysconfig
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import rope.base.fscommands
import rope.base.project
from rope.base.prefs import Prefs

from workflows.recipes.tools.code_words import only_code

_PREFERENCES = {
    "automatic_soa": False,
    "soa_followed_calls": 0,
    "perform_doa": False,
    "validate_objectdb": False,
    "save_objectdb": False,
    "save_history": False,
    "import_dynload_stdmods": False,
    "ignore_syntax_errors": True,
    "ignore_bad_imports": True,
    "extension_modules": [],
    "python_path": [],
    "source_folders": [],
}


class _Files(rope.base.fscommands.FileSystemCommands):  # type: ignore[misc]
    def read(self, path: str) -> bytes:
        data: bytes = super().read(path)
        return data.removeprefix(b"\xef\xbb\xbf")


class ReadOnlyProject(rope.base.project.Project):  # type: ignore[misc]
    """Knows the `files` (relative paths) of `root` and the standard library."""

    def __init__(self, root: str, files: Sequence[str]) -> None:
        self._paths = [path for path in files if path.endswith((".py", ".pyi"))]
        self._found: dict[tuple[str, str | None], Any] = {}
        self._sources: list[Any] | None = None
        super().__init__(root, fscommands=_Files(), ropefolder=None)

    def _init_prefs(self, prefs: dict[str, Any]) -> None:
        self.prefs = Prefs()
        for key, value in _PREFERENCES.items():
            self.prefs.set(key, value)
        self.pycore  # noqa: B018  (creates it, as rope does)

    def get_files(self) -> set[Any]:
        return {self.get_file(path) for path in self._paths}

    def get_source_folders(self) -> list[Any]:
        if self._sources is None:
            self._sources = [self.get_resource(path) for path in source_folders(self._paths)]
        return self._sources

    def get_python_path_folders(self) -> list[Any]:
        library = sysconfig.get_path("stdlib")
        folder = rope.base.project.get_no_project().get_resource(library)
        return [folder]

    def find_module(self, modname: str, folder: Any = None) -> Any:
        key = (modname, folder.path if folder is not None else None)
        if key not in self._found:
            self._found[key] = super().find_module(modname, folder)
        return self._found[key]


def source_folders(paths: Sequence[str]) -> list[str]:
    """Folders that imports start from: the root, then `src` and `lib`, then the parents of every top package."""
    packages = {os.path.dirname(path) for path in paths if os.path.basename(path) in ("__init__.py", "__init__.pyi")}
    folders: set[str] = set()
    for path in paths:
        folder = os.path.dirname(path)
        while folder in packages:
            folder = os.path.dirname(folder)
        folders.add(folder)
    first = ["", *(name for name in ("src", "lib") if name in folders or any(path.startswith(name + "/") for path in paths))]
    return first + sorted(folders - set(first))


def module_names(path: str, folders: Sequence[str]) -> set[str]:
    """The dotted names a file can be imported by, from each source folder that holds it."""
    stem = path.removesuffix(".pyi").removesuffix(".py").removesuffix("/__init__")
    names = {
        stem[len(folder) + 1 if folder else 0 :].replace("/", ".") for folder in folders if not folder or stem.startswith(folder + "/")
    }
    return {name for name in names if all(part.isidentifier() for part in name.split("."))}


def exporting_names(paths: Sequence[str], modules: set[str], folders: Sequence[str]) -> set[str]:
    """The modules and every package that takes all names of one of them by `from module import *`."""
    stars = [(path, _star_imports(path)) for path in paths]
    known = set(modules)
    while True:
        more = set()
        for path, imports in stars:
            names = module_names(path, folders) if imports else set()
            for name in names - known:
                package = name if os.path.basename(path).startswith("__init__.") else name.rpartition(".")[0]
                if any(_absolute(each, package) in known for each in imports):
                    more.add(name)
        if not more:
            return known
        known |= more


def _star_imports(path: str) -> list[str]:
    with open(path, "rb") as file:
        data = file.read()
    return [match.decode() for match in re.findall(rb"(?m)^[ \t]*from[ \t]+([\w.]+)[ \t]+import[ \t]*\(?[ \t]*\*", data)]


def _absolute(module: str, package: str) -> str:
    """A relative module name (`.core`, `..core`) seen from a package."""
    level = len(module) - len(module.lstrip("."))
    if not level:
        return module
    parents = package.split(".")[: len(package.split(".")) - level + 1]
    return ".".join([*parents, *filter(None, [module.lstrip(".")])])


def tune() -> None:
    """Deep expressions must not end the process; a scope's extent is read from its syntax tree, many times faster than rope's way.

    A parenthesis in the text of an f-string makes rope lose every line end after it, and with it most names of the file.
    """
    from rope.base import pyscopes, simplify

    sys.setrecursionlimit(20_000)
    pyscopes.Scope.get_region = _region
    simplify.real_code = _real_code


@lru_cache(maxsize=7)
def _real_code(source: str) -> str:
    """The source at the same length without comments, strings and line ends inside brackets, as rope reads names from it."""
    code, depth = list(only_code(source)), 0
    for found in re.finditer(r"[\[({\])}\n]", "".join(code)):
        sign = found[0]
        depth = max(0, depth + (sign in "[({") - (sign in "])}"))
        if sign == "\n" and depth:
            code[found.start()] = " "
    return "".join(code).replace("\\\n", "  ").replace("\t", " ").replace(";", "\n")


def _region(scope: Any) -> tuple[int, int]:
    """First and last offset of a scope's code."""
    known = scope.__dict__.get("known_region")
    if known is None:
        module, node = scope._get_global_scope().pyobject, scope.pyobject.get_ast()
        if scope.parent is None:
            known = (0, len(module.source_code))
        else:
            known = (_offset(module, node.lineno, node.col_offset), _offset(module, node.end_lineno, node.end_col_offset))
        scope.known_region = known
    return known  # type: ignore[no-any-return]


def _offset(module: Any, line: int, column: int) -> int:
    start: int = module.lines.get_line_start(line)
    text = module.source_code[start : start + column]
    return start + (column if text.isascii() else len(text.encode()[:column].decode(errors="ignore")))
