"""The edit tools: each checks the plan first, changes the file or nothing, and says what it did."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from agents.coder import patches
from agents.coder.near import near_misses
from agents.coder.scope import PlanScope
from agents.context import OpenWorkspace
from agents.loop.changes import Changes
from agents.loop.paths import clean
from agents.loop.reading import Reader
from shared.errors import InvalidRequestError, NotFoundError
from shared.types import Json

if TYPE_CHECKING:
    from langchain_core.tools import BaseTool

FILE_CHARACTERS = 400_000
GROWTH = 50_000
"""Characters by which a file that is bigger than that may still grow."""


class Editor:
    """Changes one open workspace within a plan, and notes in `changes` what it changes.

    `wanted` is what the model asked to be added to the plan: {files, reason}, or None.
    """

    def __init__(self, workspace: OpenWorkspace, reader: Reader, scope: PlanScope, changes: Changes) -> None:
        self._workspace, self._reader, self._scope, self._changes = workspace, reader, scope, changes

    @property
    def wanted(self) -> Json | None:
        wanted: Json | None = self._changes.state.get("wanted")
        return wanted

    async def restore(self, files: Mapping[str, bytes | None]) -> None:
        """Make files as kept steps left them; None is one that they removed."""
        for name, data in files.items():
            if data is not None:
                await self._workspace.write(name, data)
                self._reader.made.add(name)
            elif await self._workspace.exists(name):
                await self._rm(name)

    async def edit_file(self, path: str, old: str, new: str, every: bool = False) -> str:
        """Replace the exact text `old` by `new` in a file. `old` must be there once (or give `every`): include lines around it."""
        async with self._changes.lock:
            name = self._scope.writable(path)
            text = await self._text(name)
            old, new = _with_ends_of(text, old, new)
            if not old:
                raise InvalidRequestError("`old` is empty.", "Use create_file to make a file.")
            if old == new:
                raise InvalidRequestError("`old` and `new` are the same, so nothing would change.")
            places = _lines_of(text, old)
            count = len(places)
            if count == 0:
                near = near_misses(text, old)
                raise InvalidRequestError(
                    f"`old` is not in {name}; nothing was changed. {near}".rstrip(), "Read the file and copy the text exactly."
                )
            if count > 1 and not every:
                lines = ", ".join(str(number) for number in places[:20])
                raise InvalidRequestError(
                    f"`old` is in {name} {count} times (lines {lines}); nothing was changed.",
                    "Include more lines around it, or give every=true.",
                )
            await self._write(name, text, text.replace(old, new))
            count = text.count(old)
            return f"Changed {name} in {count} place{'' if count == 1 else 's'}, first at line {places[0]}."

    async def create_file(self, path: str, content: str, overwrite: bool = False) -> str:
        """Make a new file with this content. A file that is there already is only replaced with `overwrite`."""
        async with self._changes.lock:
            name = self._scope.writable(path)
            before = await self._text_or_none(name)
            if before is not None and not overwrite:
                raise InvalidRequestError(f"{name} exists; nothing was changed.", "Use edit_file, or give overwrite=true.")
            if before and before.count("\n") == before.count("\r\n"):
                (content,) = _with_ends_of(before, content)
            await self._write(name, before or "", content)
            return f"{'Replaced' if before is not None else 'Made'} {name} with {len(content.splitlines())} lines."

    async def delete_file(self, path: str) -> str:
        """Remove a file that the plan says to remove."""
        async with self._changes.lock:
            name = self._scope.writable(path)
            if not await self._workspace.exists(name):
                raise NotFoundError(f"There is no {name} in the workspace.")
            await self._remove(name)
            return f"Removed {name}."

    async def apply_patch(self, patch: str) -> str:
        """Apply a unified diff (`--- a/path`, `+++ b/path`, `@@` hunks) to one or more files: all of it or nothing."""
        async with self._changes.lock:
            changes: dict[str, tuple[str, str | None]] = {}
            files = patches.parse(patch)
            for file in files:
                if file.old is not None and file.new is not None and file.old != file.new:
                    raise InvalidRequestError("A patch may not rename a file.", "Make the new file and remove the old one.")
                name = self._scope.writable(file.new or file.old or "")
                text = await self._text_or_none(name)
                if name in changes:
                    text = changes[name][1]
                if (text is None) is not (file.old is None):
                    raise InvalidRequestError(f"{name} {'exists already' if text is not None else 'does not exist'}; nothing was changed.")
                after = patches.apply(text or "", file, name) if file.new is not None else None
                changes[name] = (changes[name][0] if name in changes else text or "", after)
            for name, (before, after) in changes.items():
                if after is not None:
                    self._check(name, before, after)
            for name, (before, after) in changes.items():
                await (self._remove(name) if after is None else self._write(name, before, after))
            lacking = [f" {file.new} is not executable yet." for file in files if file.executable]
            return f"Applied: {', '.join(changes)}.{''.join(lacking)}"

    async def widen_plan(self, files: list[str], reason: str) -> str:
        """Ask for files that the plan does not name, or for a dependency. A person decides, so this ends your work for now."""
        names = sorted({clean(path) for path in files})
        if not names or not reason.strip():
            raise InvalidRequestError("Name the files and say why.")
        for name in names:
            self._scope.touchable(name)
        before = self.wanted or {"files": [], "reason": ""}
        self._changes.state["wanted"] = {
            "files": sorted({*before["files"], *names}),
            "reason": " ".join([*([before["reason"]] if before["reason"] else []), " ".join(reason.split())])[:1000],
        }
        return "A person will be asked. Stop here: what you have done is kept, and you go on when they have decided."

    def tools(self) -> list[BaseTool]:
        from langchain_core.tools import StructuredTool

        calls = (self.edit_file, self.create_file, self.delete_file, self.apply_patch)
        return [
            *(StructuredTool.from_function(coroutine=call) for call in calls),
            StructuredTool.from_function(coroutine=self.widen_plan, return_direct=True),
        ]

    async def _text(self, name: str) -> str:
        """For writing: bytes that are no UTF-8 are kept as surrogate escapes, where a reader sees a replacement."""
        text = await self._reader.text(name)
        return (await self._workspace.read(name)).decode("utf-8", "surrogateescape") if "\ufffd" in text else text

    async def _text_or_none(self, name: str) -> str | None:
        try:
            return await self._text(name)
        except NotFoundError:
            return None

    def _check(self, name: str, before: str, after: str) -> None:
        if len(after) > max(FILE_CHARACTERS, len(before) + GROWTH):
            raise InvalidRequestError(f"{name} would have {len(after)} characters: too big.")
        _encoded(name, after)
        self._scope.check_dependencies(name, before, after)

    async def _write(self, name: str, before: str, after: str) -> None:
        self._check(name, before, after)
        data = _encoded(name, after)
        await self._workspace.write(name, data)
        self._changes.wrote(name, data)
        self._reader.made.add(name)

    async def _remove(self, name: str) -> None:
        await self._rm(name)
        self._changes.wrote(name, None)

    async def _rm(self, name: str) -> None:
        ran = await self._workspace.run(["rm", "-f", "--", f"./{name}"], timeout_s=20)
        if not ran.ok:
            raise InvalidRequestError(f"{name} could not be removed.")
        self._reader.made.discard(name)


def _with_ends_of(text: str, *parts: str) -> tuple[str, ...]:
    """With the file's own line ends, those of the place where it has both kinds: a model writes `\\n`."""
    if "\r\n" not in text:
        return parts
    at = text.find(parts[0])
    end = text.find("\n", at) if at >= 0 else 0
    if end > 0 and text[end - 1] != "\r":
        return parts
    return tuple(part.replace("\r\n", "\n").replace("\n", "\r\n") for part in parts)


def _encoded(name: str, text: str) -> bytes:
    """InvalidRequestError for half a surrogate pair, which JSON can carry and no file can."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise InvalidRequestError(f"The text for {name} has a character that cannot be written.", "Write it without escapes.") from None


def _lines_of(text: str, part: str) -> list[int]:
    """Where it begins, also where two places overlap: either could be meant."""
    found, at = [], text.find(part)
    while at >= 0:
        found.append(text.count("\n", 0, at) + 1)
        at = text.find(part, at + 1)
    return found
