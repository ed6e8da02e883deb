"""Rows of artifacts; their bytes are kept by `shared.artifacts`."""

from __future__ import annotations

from sqlalchemy import delete, select
from sqlalchemy.dialects.postgresql import insert as insert_into
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.store.records import Artifact
from shared.store.rows import columns, to_record, to_records, to_row
from shared.store.tables import artifacts

_COLUMNS = columns(Artifact, artifacts)


async def save(tx: AsyncConnection, artifact: Artifact) -> Artifact:
    """Store the row; a later artifact of the same name takes the place of an earlier one."""
    values = to_row(artifact)
    statement = insert_into(artifacts).values(values)
    changes = {name: statement.excluded[name] for name in ("media_type", "size", "sha256", "created_at")}
    await tx.execute(statement.on_conflict_do_update(index_elements=["task_id", "name"], set_=changes))
    return artifact


async def get(tx: AsyncConnection, task_id: str, name: str) -> Artifact | None:
    query = select(*_COLUMNS).where(artifacts.c.task_id == task_id, artifacts.c.name == name)
    return to_record(Artifact, (await tx.execute(query)).first())


async def list_(tx: AsyncConnection, task_id: str) -> list[Artifact]:
    """A task's artifacts by name."""
    return to_records(Artifact, await tx.execute(select(*_COLUMNS).where(artifacts.c.task_id == task_id).order_by(artifacts.c.name)))


async def drop(tx: AsyncConnection, task_id: str, begin: str, end: str) -> None:
    """Forget a task's artifacts whose names begin and end so."""
    named = artifacts.c.name.startswith(begin, autoescape=True) & artifacts.c.name.endswith(end, autoescape=True)
    await tx.execute(delete(artifacts).where(artifacts.c.task_id == task_id, named))


async def used_hashes(tx: AsyncConnection) -> set[str]:
    """The SHA-256 of everything that is still referred to."""
    return set((await tx.execute(select(artifacts.c.sha256).distinct())).scalars())
