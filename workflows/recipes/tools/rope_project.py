"""A rope project that only looks: no settings of the repository, no import of its code, no file outside the given list."""

from __future__ import annotations

import os
import sys
import sysconfig
from collections.abc import Sequence
from typing import Any

import rope.base.fscommands
import rope.base.project
from rope.base.prefs import Prefs

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


def quiet() -> None:
    """Deep expressions must not end the process."""
    sys.setrecursionlimit(20_000)
