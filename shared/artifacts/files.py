"""Artifacts as files named by the SHA-256 of their bytes: `data_dir/artifacts/ab/abcd…`. On the disk before the row says so."""

from __future__ import annotations

import asyncio
import os
import secrets
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.errors import NotFoundError, UnavailableError
from shared.store import artifacts_rows
from shared.store.records import Artifact
from shared.types import sha256_hex


class FileArtifacts:
    """The same bytes are kept once. A file that was damaged is never answered: its hash is checked when it is read."""

    def __init__(self, data_dir: Path) -> None:
        self._root = data_dir / "artifacts"

    async def save(self, tx: AsyncConnection, task_id: str, name: str, data: bytes, media_type: str = "text/plain") -> Artifact:
        """Keep bytes under the task; a later artifact of the same name takes its place. `UnavailableError` when the disk refuses."""
        digest = sha256_hex(data)
        try:
            await asyncio.to_thread(self._write, digest, data)
        except OSError as error:
            raise UnavailableError(
                f"The artifact {name} cannot be stored: {error.strerror}.", f"Make room in {self._root}, or make it writable."
            ) from error
        artifact = Artifact(task_id=task_id, name=name, media_type=media_type, size=len(data), sha256=digest)
        return await artifacts_rows.save(tx, artifact)

    async def load(self, tx: AsyncConnection, task_id: str, name: str) -> bytes:
        """The bytes. `NotFoundError` when there is no such artifact, `UnavailableError` when its file is missing or damaged."""
        artifact = await self.get(tx, task_id, name)
        try:
            data = await asyncio.to_thread(self._path(artifact.sha256).read_bytes)
        except OSError as error:
            raise self._damaged(name) from error
        if sha256_hex(data) != artifact.sha256:
            raise self._damaged(name)
        return data

    async def get(self, tx: AsyncConnection, task_id: str, name: str) -> Artifact:
        """The row; `NotFoundError` when there is none."""
        artifact = await artifacts_rows.get(tx, task_id, name)
        if artifact is None:
            raise NotFoundError(f"Task {task_id} has no artifact {name}.")
        return artifact

    async def list_(self, tx: AsyncConnection, task_id: str) -> list[Artifact]:
        return await artifacts_rows.list_(tx, task_id)

    def _damaged(self, name: str) -> UnavailableError:
        return UnavailableError(f"The stored artifact {name} is missing or damaged.", f"Restore {self._root}, or retry the task.")

    def _path(self, digest: str) -> Path:
        return self._root / digest[:2] / digest

    def _write(self, digest: str, data: bytes) -> None:
        path = self._path(digest)
        if path.exists() and sha256_hex(path.read_bytes()) == digest:
            return
        if not self._root.exists():
            self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.parent.mkdir(mode=0o700, exist_ok=True)
        unfinished = path.with_name(f".{digest}-{secrets.token_hex(4)}")
        try:
            descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            unfinished.rename(path)
        finally:
            unfinished.unlink(missing_ok=True)
        for folder in (path.parent, self._root):
            _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    """Make a rename in `folder` survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
