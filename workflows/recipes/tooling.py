"""Running Persevere's own tools inside a workspace and reading their answers."""

from __future__ import annotations

import json
from typing import Any

from shared.errors import TaskFailedError
from shared.recipes.port import RecipeWorkspace
from shared.types import CommandResult, Json


async def run_script(workspace: RecipeWorkspace, script: str, request: Json, *, timeout_s: float = 300) -> Any:
    """Run one of `workflows/recipes/tools/`, JSON in and out. Raises `TaskFailedError` when it does not answer JSON."""
    result = await workspace.run_tool([script], stdin=json.dumps(request).encode(), timeout_s=timeout_s)
    if result.ok and not result.truncated:
        try:
            return json.loads(result.stdout)
        except ValueError:
            pass
    raise broken_tool(script, result)


async def run_ruff(workspace: RecipeWorkspace, *arguments: str, stdin: bytes = b"", timeout_s: float = 300) -> CommandResult:
    """Run ruff without a cache. Exit codes 0 and 1 are answers; anything else raises `TaskFailedError` with ruff's own words."""
    result = await workspace.run_tool(["ruff", *arguments], stdin=stdin, timeout_s=timeout_s)
    if result.exit_code in (0, 1) and result.stopped_by is None:
        return result
    raise broken_tool("ruff", result)


def broken_tool(name: str, result: CommandResult) -> TaskFailedError:
    if result.stopped_by is not None:
        return TaskFailedError(
            f"{name} was stopped by its limit of {result.stopped_by}.", "Name fewer files and try again.", code="tool_stopped"
        )
    lines = [line.strip() for line in (result.stderr or result.stdout).splitlines() if line.strip()]
    detail = " ".join(lines[:3] if name == "ruff" else lines[-1:])[:400]
    return TaskFailedError(
        f"{name} could not do it: {detail or f'exit code {result.exit_code}'}",
        "Correct what the message names in the repository, or name fewer files, and try again.",
        code="tool_failed",
    )
