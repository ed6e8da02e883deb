"""What ruff would change, and keeping its hands off protected files."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Sequence

from shared.recipes.port import RecipeWorkspace
from shared.types import Json
from workflows.recipes.wording import matches_any

CONFIGURATIONS = ("pyproject.toml", "ruff.toml", ".ruff.toml")


def changed_in_diff(diff: str) -> list[str]:
    """The files named by a unified diff of ruff (`--- path` without a prefix), sorted."""
    return sorted(set(re.findall(r"^--- (?:a/)?(.+?)(?:\t.*)?$", diff, re.MULTILINE)))


async def python_files(workspace: RecipeWorkspace, paths: Sequence[str]) -> list[str]:
    """Tracked Python files below `paths` (all without any) that may be touched, sorted."""
    files = [path for path in await workspace.files() if path.endswith((".py", ".pyi"))]
    if paths:
        files = [path for path in files if matches_any(path, paths)]
    return [path for path in files if not matches_any(path, workspace.config.never_touch)]


async def keep_protected(workspace: RecipeWorkspace) -> dict[str, bytes]:
    """The bytes of every Python file that must not be touched, to be put back afterwards."""
    never = workspace.config.never_touch
    if not never:
        return {}
    return {
        path: await workspace.read(path)
        for path in await workspace.files()
        if path.endswith((".py", ".pyi", ".ipynb")) and matches_any(path, never)
    }


async def put_back(workspace: RecipeWorkspace, kept: dict[str, bytes]) -> None:
    for path, data in kept.items():
        if await workspace.read(path) != data:
            await workspace.write(path, data)


async def pyproject(workspace: RecipeWorkspace) -> Json:
    """The parsed `pyproject.toml`, or {} when there is none or it cannot be read."""
    if not await workspace.exists("pyproject.toml"):
        return {}
    try:
        return tomllib.loads((await workspace.read("pyproject.toml")).decode())
    except ValueError:
        return {}


async def has_ruff_configuration(workspace: RecipeWorkspace) -> bool:
    """Whether the repository says anywhere how ruff should judge it."""
    files = set(await workspace.files())
    return bool(files & {"ruff.toml", ".ruff.toml"}) or "ruff" in (await pyproject(workspace)).get("tool", {})
