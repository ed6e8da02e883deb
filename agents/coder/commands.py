"""Commands a model runs in its sandbox. What one changes besides the plan's files is undone before anything else happens."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TYPE_CHECKING

from agents.coder.scope import PlanScope
from agents.coder.watched_files import Texts, WatchedFiles
from agents.context import OpenWorkspace, TaskContext
from agents.loop.changes import Changes
from agents.loop.text import cut, one_line
from shared.errors import InvalidRequestError, TaskFailedError
from shared.forge.port import Diff

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

OUTPUT = 12_000
TIMEOUT_S = 120.0
LONGEST_S = 600.0
_SECTION = re.compile(rb"^diff --git ", re.MULTILINE)


class Commands:
    """`changes` is told what a command leaves of the plan's files; `environment` is added to every command's own."""

    def __init__(
        self,
        context: TaskContext,
        workspace: OpenWorkspace,
        scope: PlanScope,
        changes: Changes,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        self._context, self._workspace, self._scope, self._changes = context, workspace, scope, changes
        self._environment = dict(environment or {})
        self._watched = WatchedFiles(workspace, scope)

    async def run_command(self, command: str, timeout_s: float = TIMEOUT_S) -> str:
        """Run a shell command in the repository's root, without a network. Its output is cut when it is long."""
        if not command.strip():
            raise InvalidRequestError("The command is empty.")
        async with self._changes.lock:
            limit = max(1.0, min(timeout_s, LONGEST_S))
            before = await self._watched.read()
            ran = await self._workspace.run(["sh", "-c", command], timeout_s=limit, environment=self._environment)
            entered = await self._undo_dependencies(before)
            undone = await self.undo_outside()
        ended = f"stopped ({ran.stopped_by})" if ran.stopped_by else f"exit code {ran.exit_code}"
        parts = [f"{ended}, {ran.duration_s:.1f} s"]
        for name, text in (("stdout", ran.stdout), ("stderr", ran.stderr)):
            if text.strip():
                parts.append(f"{name}:\n{cut(text, OUTPUT if name == 'stdout' else OUTPUT // 3)}")
        if undone:
            parts.append(f"The command changed files that are not in the plan; that was undone: {one_line(', '.join(undone), 600)}")
        if entered:
            parts.append(_told(entered))
        return "\n".join(parts)

    async def check_dependencies(self) -> None:
        """TaskFailedError `left_the_plan` when one came in that the plan does not name."""
        await self._watched.check()

    async def _undo_dependencies(self, before: Texts) -> dict[str, str]:
        """What the command brought into which file; that is as it was before the command."""
        entered = await self._watched.entered(before)
        for path in entered:
            await self._put(path, before[path])
        return entered

    async def undo_outside(self) -> list[str]:
        """The paths that were changed and are not in the plan, as they were again. TaskFailedError when one cannot be brought back."""
        outside, diff = await self._outside()
        left = outside
        if outside:
            for path in outside:
                await self._bring_back(path)
            left, diff = await self._outside()
        for mode in ("755", "644"):
            if left:
                await self._workspace.run(["chmod", mode, "--", *(f"./{path}" for path in left)], timeout_s=60)
                left, diff = await self._outside()
        if left:
            raise left_the_plan(left)
        self._changes.ran(diff.patch)
        self._scope.links = with_links_of(diff, self._scope.links)
        return outside

    async def _outside(self) -> tuple[list[str], Diff]:
        """The changed paths that are not in the plan, and the whole change."""
        diff = await self._workspace.diff()
        return self._scope.outside(diff.stats.get("paths", [])), diff

    async def _bring_back(self, path: str) -> None:
        task = self._context.task
        assert task.base_commit is not None
        await self._put(path, await self._context.forge.read_file(task.repo, task.base_commit, path))

    async def _put(self, path: str, before: bytes | None) -> None:
        """None: there is no such file."""
        if before is not None:
            try:
                await self._workspace.write(path, before)
                return
            except InvalidRequestError:
                pass  # Something that is no file is in its place.
        await self._workspace.run(["rm", "-rf", "--", f"./{path}"], timeout_s=60)
        if before is not None:
            await self._workspace.write(path, before)

    def tools(self) -> list[BaseTool]:
        from langchain_core.tools import StructuredTool

        return [StructuredTool.from_function(coroutine=self.run_command)]


async def find_links(workspace: OpenWorkspace) -> frozenset[str]:
    """The workspace's symbolic links."""
    ran = await workspace.run(["find", ".", "-type", "l", "-print0"], timeout_s=60)
    return frozenset(path.removeprefix("./") for path in ran.stdout.split("\0") if path)


def with_links_of(diff: Diff, links: frozenset[str]) -> frozenset[str]:
    """`links` with those that a change makes and without those it takes away."""
    if b" 120000\n" not in diff.patch:
        return links
    heads: dict[bytes, bytes] = {}
    for section in _SECTION.split(diff.patch)[1:]:
        # A file that became a link has two sections.
        names, _, rest = section.partition(b"\n")
        heads[names] = heads.get(names, b"\n") + rest.partition(b"\n@@ ")[0] + b"\n"
    found = set(links)
    for path, head in zip(diff.stats["paths"], heads.values(), strict=False):
        if b"\nnew file mode 120000\n" in head or b"\nnew mode 120000\n" in head:
            found.add(path)
        elif b"\ndeleted file mode 120000\n" in head or b"\nold mode 120000\n" in head:
            found.discard(path)
    return frozenset(found)


def _told(entered: Mapping[str, str]) -> str:
    files = "; ".join(f"{path}: {what}" for path, what in entered.items())
    return (
        f"The command added a dependency that the plan does not name; that was undone ({one_line(files, 600)}). "
        "Do without it, or call widen_plan with the file and a reason that names the dependency; a person decides."
    )


def left_the_plan(paths: list[str]) -> TaskFailedError:
    return TaskFailedError(
        f"The change leaves the approved plan: {one_line(', '.join(paths), 300)}.",
        "Retry the task, or ask for a plan that names these files.",
        code="left_the_plan",
    )
