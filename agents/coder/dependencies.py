"""Which dependencies a file declares: to see when a change adds one."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import PurePosixPath
from typing import Any

_NAME = re.compile(r"^\s*([A-Za-z0-9][\w.\-\[\]]*)")
_GO = re.compile(r"^\s*(?:require\s+)?([\w.\-]+\.[\w.\-]+/\S+)\s+v", re.MULTILINE)


def declares(path: str) -> bool:
    """Whether a file of this name declares dependencies that `declared` finds."""
    name = PurePosixPath(path).name
    return name in ("pyproject.toml", "Cargo.toml", "package.json", "go.mod") or _lists(path)


def _lists(path: str) -> bool:
    name = PurePosixPath(path).name
    return name.endswith(".txt") and ("require" in name or "constraint" in name or "requirements" in PurePosixPath(path).parts)


def declared(path: str, text: str) -> set[str]:
    """Lower-case names; empty for a file that declares none, or that cannot be read."""
    name = PurePosixPath(path).name
    try:
        if name == "pyproject.toml":
            return _of_pyproject(tomllib.loads(text))
        if name == "Cargo.toml":
            return _tables(tomllib.loads(text), "dependencies", "dev-dependencies", "build-dependencies")
        if name == "package.json":
            return _tables(json.loads(text), "dependencies", "devDependencies", "peerDependencies", "optionalDependencies")
    except (ValueError, AttributeError, TypeError):
        return set()
    if name == "go.mod":
        return {found.lower() for found in _GO.findall(text)}
    if _lists(path):
        return _names(line for line in text.splitlines() if not line.lstrip().startswith(("#", "-")))
    return set()


def _of_pyproject(read: dict[str, Any]) -> set[str]:
    project = read.get("project", {})
    lines = [*project.get("dependencies", []), *read.get("build-system", {}).get("requires", [])]
    for group in (*project.get("optional-dependencies", {}).values(), *read.get("dependency-groups", {}).values()):
        lines += [line for line in group if isinstance(line, str)]
    poetry = read.get("tool", {}).get("poetry", {})
    found = _names(lines) | _tables(poetry, "dependencies", "dev-dependencies")
    for group in poetry.get("group", {}).values():
        found |= _tables(group, "dependencies")
    return found


def _names(lines: Any) -> set[str]:
    return {match[1].split("[")[0].lower() for line in lines if (match := _NAME.match(line))}


def _tables(read: dict[str, Any], *names: str) -> set[str]:
    return {str(key).lower() for name in names for key in read.get(name, {})}
