"""The plan's files that declare dependencies: a command may write them, but bring in nothing that the plan does not name."""

from __future__ import annotations

from collections.abc import Mapping

from agents.coder.dependencies import declares
from agents.coder.scope import PlanScope
from agents.context import OpenWorkspace
from agents.loop.text import one_line
from shared.errors import InvalidRequestError, NotFoundError, TaskFailedError

Texts = Mapping[str, bytes | None]
"""path -> content, or None for a file that is not there."""
_NO_FILE = "no file any more, so that nobody sees what it declares"


class WatchedFiles:
    """What they said before the first command is accepted: it was there, or was checked when it was written."""

    def __init__(self, workspace: OpenWorkspace, scope: PlanScope) -> None:
        self._workspace, self._scope = workspace, scope
        self._first: Texts | None = None

    async def read(self) -> Texts:
        """As they are, links followed. What is no file in the workspace is left out."""
        found: dict[str, bytes | None] = {}
        for path in sorted(filter(declares, self._scope.files)):
            try:
                found[path] = await self._workspace.read(path)
            except NotFoundError:
                found[path] = None
            except InvalidRequestError:
                continue
        self._first = found if self._first is None else self._first
        return found

    async def entered(self, before: Texts) -> dict[str, str]:
        """path -> what came in since `before` and is not in the plan: the names, or that it is no file now."""
        now, found = await self.read(), dict[str, str]()
        for path, old in before.items():
            if path not in now:
                found[path] = _NO_FILE
            elif (text := now[path]) is not None and text != old:
                known = (_text(old), _text((self._first or {}).get(path)))
                if new := self._scope.new_dependencies(path, _text(text), *known):
                    found[path] = one_line(", ".join(new), 200)
        return found

    async def check(self) -> None:
        """The last look, at what a process may have written after its command ended. TaskFailedError `left_the_plan`."""
        if self._first is not None and (found := await self.entered(self._first)):
            told = "; ".join(f"{path}: {what}" for path, what in found.items())
            raise TaskFailedError(
                f"The change adds a dependency that the approved plan does not name ({told}).",
                "Retry the task, or ask for a plan that names it.",
                code="left_the_plan",
            )


def _text(data: bytes | None) -> str:
    return (data or b"").decode("utf-8", "replace")
