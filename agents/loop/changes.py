"""What tools do to a workspace, noted as they do it, so that it can be done again in a fresh one."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field

from agents.context import Step
from shared.types import Json


@dataclass
class Changes:
    """`files` and `patch` are those of the next `Step`; `state` is plain data that every step of tools is kept with.

    Whoever changes the workspace holds the lock meanwhile.
    """

    files: dict[str, bytes | None] = field(default_factory=dict)
    patch: bytes | None = None
    state: Json = field(default_factory=dict)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    _known: bytes | None = None
    """The last patch, as long as nothing was written after it."""

    def wrote(self, path: str, data: bytes | None) -> None:
        """None: the file was removed."""
        self.files.pop(path, None)
        self.files[path] = data
        self._known = None

    def ran(self, patch: bytes) -> None:
        """A command ran, and `patch` is the whole change now."""
        if patch == self._known:
            return
        self.files.clear()
        self.patch = self._known = patch

    def take(self) -> tuple[Json, dict[str, bytes | None], bytes | None]:
        """State, files and patch; the last two begin anew."""
        taken = (dict(self.state), self.files, self.patch)
        self.files, self.patch = {}, None
        return taken


def left_by(steps: Sequence[Step], start: bytes) -> tuple[bytes, dict[str, bytes | None]]:
    """The patch to begin a workspace with and the files to write then, to have it as the last of the steps left it."""
    patch, files = start, dict[str, bytes | None]()
    for step in steps:
        if step.patch is not None:
            patch, files = step.patch, {}
        for path, data in step.files.items():
            files.pop(path, None)
            files[path] = data
    return patch, files
