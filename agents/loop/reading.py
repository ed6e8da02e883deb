"""What a model may do to read a repository: list, search, read. Every answer is bounded."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, cast

from agents.context import OpenWorkspace
from agents.loop.paths import clean
from agents.loop.text import LINE_LIMIT, numbered
from shared.approvals.policy import path_matches
from shared.errors import InvalidRequestError
from shared.types import Json

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

LISTED = 300
FOUND = 80
LINES = 400
FILE_BYTES = 1_000_000
SEARCH_S = 20.0


class Reader:
    """Reads one open workspace. `made` holds paths that were made since the base commit, which the repository's list does not know."""

    def __init__(self, workspace: OpenWorkspace) -> None:
        self._workspace = workspace
        self.made: set[str] = set()

    async def files(self) -> list[str]:
        return sorted({*await self._workspace.files(), *self.made})

    async def text(self, path: str) -> str:
        """A file's text. InvalidRequestError for what is too big or is not text."""
        data = await self._workspace.read(clean(path))
        if len(data) > FILE_BYTES:
            raise InvalidRequestError(f"{path} has {len(data)} bytes: too big to read.", "Search in it instead.")
        if b"\0" in data[:8000]:
            raise InvalidRequestError(f"{path} is not a text file.")
        return data.decode("utf-8", "replace")

    async def tool(self, script: str, asked: Json, *, timeout_s: float) -> Json | None:
        """What one of our own tools answers about the repository; None when it did not come to an end."""
        ran = await self._workspace.run_tool([script], stdin=json.dumps(asked).encode(), timeout_s=timeout_s)
        try:
            return cast(Json, json.loads(ran.stdout)) if ran.ok and not ran.truncated else None
        except ValueError:
            return None

    async def list_files(self, pattern: str = "**") -> str:
        """List the repository's files. `pattern` is a glob such as `src/**` or `**/*.py`; a folder's name lists what is below it."""
        wanted = pattern.strip().removeprefix("./").strip("/") or "**"
        found = [path for path in await self.files() if path_matches(path, wanted) or path.startswith(wanted + "/")]
        if not found:
            return f"No file matches {pattern}."
        more = f"\n[{len(found) - LISTED} more; narrow the pattern]" if len(found) > LISTED else ""
        return "\n".join(found[:LISTED]) + more

    async def search(self, pattern: str, path: str = "**", ignore_case: bool = False) -> str:
        """Search the repository's text files for a regular expression, as ripgrep does: `path:line:text`. `path` is a glob or a folder."""
        wanted = path.strip().removeprefix("./").strip("/") or "**"
        files = [name for name in await self.files() if path_matches(name, wanted) or name.startswith(wanted + "/")]
        if not pattern or len(pattern) > 500:
            raise InvalidRequestError("The pattern is empty or too long.")
        asked = {"pattern": pattern, "ignore_case": ignore_case, "limit": FOUND, "width": LINE_LIMIT, "files": files}
        # In a process of its own: a pattern may take for ever, and only a process can be ended then.
        ran = await self._workspace.run_tool(["search_text.py"], stdin=json.dumps(asked).encode(), timeout_s=SEARCH_S)
        if ran.stopped_by is not None:
            raise InvalidRequestError(f"The search was stopped ({ran.stopped_by}).", "Search for something simpler, or in fewer files.")
        if ran.exit_code == 2:
            raise InvalidRequestError(ran.stderr.strip(), "Escape special characters with a backslash.")
        return ran.stdout.rstrip("\n") or f"Nothing matches {pattern!r} in {path}."

    async def read_file(self, path: str, first_line: int = 1, last_line: int = 0) -> str:
        """Read a file with line numbers (the number and the tab are not part of the file). Without `last_line`: up to 400 lines."""
        text = await self.text(path)
        total = len(text.splitlines())
        first = max(1, first_line)
        if first > max(total, 1):
            raise InvalidRequestError(f"{path} has {total} lines.", f"Read from a line up to {total}.")
        last = min(total, first + LINES - 1, last_line if last_line >= first else total)
        if not total:
            return f"{path} is empty."
        rest = f"\n[lines {first} to {last} of {total}]" if (first, last) != (1, total) else ""
        return numbered(text, first, last) + rest

    def tools(self) -> list[BaseTool]:
        from langchain_core.tools import StructuredTool

        return [
            StructuredTool.from_function(coroutine=call, parse_docstring=False) for call in (self.list_files, self.search, self.read_file)
        ]
