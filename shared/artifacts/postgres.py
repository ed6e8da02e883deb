"""Artifacts in PostgreSQL, their bytes under their SHA-256: every worker reads what another one wrote, and a backup has all of it."""

from __future__ import annotations

import asyncio
from pathlib import Path

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert as insert_into
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.errors import InvalidRequestError, NotFoundError, UnavailableError
from shared.store import artifacts_rows
from shared.store.records import Artifact
from shared.store.tables import artifact_bytes
from shared.types import sha256_hex

LARGEST = 256 * 1024 * 1024


class PostgresArtifacts:
    """The same bytes are kept once. What was damaged is never answered: the hash is checked when it is read.

    `data_dir`/artifacts holds what an earlier version wrote as files; it is only read.
    """

    def __init__(self, data_dir: Path) -> None:
        self._files = data_dir / "artifacts"

    async def save(self, tx: AsyncConnection, task_id: str, name: str, data: bytes, media_type: str = "text/plain") -> Artifact:
        """Keep bytes under the task; a later artifact of the same name takes its place. `InvalidRequestError` above 256 MiB."""
        if len(data) > LARGEST:
            raise InvalidRequestError(f"The artifact {name} has {len(data)} bytes.", f"Keep it below {LARGEST} bytes.")
        digest = sha256_hex(data)
        await tx.execute(insert_into(artifact_bytes).values(sha256=digest, data=data).on_conflict_do_nothing())
        artifact = Artifact(task_id=task_id, name=name, media_type=media_type, size=len(data), sha256=digest)
        return await artifacts_rows.save(tx, artifact)

    async def load(self, tx: AsyncConnection, task_id: str, name: str) -> bytes:
        """The bytes. `NotFoundError` when there is no such artifact, `UnavailableError` when its bytes are missing or damaged."""
        artifact = await self.get(tx, task_id, name)
        data = (await tx.execute(select(artifact_bytes.c.data).where(artifact_bytes.c.sha256 == artifact.sha256))).scalar_one_or_none()
        if data is None:
            data = await asyncio.to_thread(self._from_file, artifact.sha256)
        if data is None or sha256_hex(data) != artifact.sha256:
            raise UnavailableError(f"The stored artifact {name} is missing or damaged.", "Restore the database, or retry the task.")
        return bytes(data)

    async def get(self, tx: AsyncConnection, task_id: str, name: str) -> Artifact:
        """The row; `NotFoundError` when there is none."""
        artifact = await artifacts_rows.get(tx, task_id, name)
        if artifact is None:
            raise NotFoundError(f"Task {task_id} has no artifact {name}.")
        return artifact

    async def list_(self, tx: AsyncConnection, task_id: str) -> list[Artifact]:
        return await artifacts_rows.list_(tx, task_id)

    async def drop(self, tx: AsyncConnection, task_id: str, begin: str, end: str) -> None:
        """Forget a task's artifacts whose names begin and end so."""
        await artifacts_rows.drop(tx, task_id, begin, end)

    def _from_file(self, digest: str) -> bytes | None:
        try:
            return (self._files / digest[:2] / digest).read_bytes()
        except OSError:
            return None
