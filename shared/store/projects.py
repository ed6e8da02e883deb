"""Projects: a repository a user works on, under a name."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, select, tuple_
from sqlalchemy import delete as delete_from
from sqlalchemy import insert as insert_into
from sqlalchemy import update as update_table
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.errors import NotFoundError
from shared.store.records import Project
from shared.store.rows import columns, decode_cursor, field_values, page, to_record, to_records, to_row
from shared.store.tables import projects

_COLUMNS = columns(Project, projects)
_BY_REPO = (
    select(*_COLUMNS)
    .where(projects.c.user_id == bindparam("user"), projects.c.repo == bindparam("repository"))
    .order_by(projects.c.created_at)
    .limit(1)
)


async def insert(tx: AsyncConnection, project: Project) -> Project:
    await tx.execute(insert_into(projects), to_row(project))
    return project


async def get(tx: AsyncConnection, id: str) -> Project | None:
    return to_record(Project, (await tx.execute(select(*_COLUMNS).where(projects.c.id == id))).first())


async def by_repo(tx: AsyncConnection, user_id: str, repo: str) -> Project | None:
    """The user's oldest project of a repository."""
    return to_record(Project, (await tx.execute(_BY_REPO, {"user": user_id, "repository": repo})).first())


async def list_(
    tx: AsyncConnection, user_id: str | None, *, limit: int = 50, cursor: str | None = None
) -> tuple[list[Project], str | None]:
    """Newest first, and the cursor of the next page; every user's when `user_id` is None."""
    query = select(*_COLUMNS).order_by(projects.c.created_at.desc(), projects.c.id.desc()).limit(limit + 1)
    if user_id is not None:
        query = query.where(projects.c.user_id == user_id)
    if cursor:
        query = query.where(tuple_(projects.c.created_at, projects.c.id) < tuple_(*decode_cursor(cursor, datetime, str)))
    return page(to_records(Project, await tx.execute(query)), limit, "created_at", "id")


async def update(tx: AsyncConnection, id: str, **fields: Any) -> Project:
    """Change fields; `NotFoundError` when there is no such project."""
    changed = update_table(projects).where(projects.c.id == id).values(field_values(Project, fields)).returning(*_COLUMNS)
    project = to_record(Project, (await tx.execute(changed)).first())
    if project is None:
        raise NotFoundError(f"There is no project {id}.")
    return project


async def delete(tx: AsyncConnection, id: str) -> bool:
    """Remove a project; its tasks and sessions stay without one. False when there was none."""
    return (await tx.execute(delete_from(projects).where(projects.c.id == id))).rowcount > 0
