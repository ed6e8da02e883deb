"""Pull requests of the local forge, numbered within their repository."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import func, select, tuple_
from sqlalchemy import insert as insert_into
from sqlalchemy import update as update_table
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.errors import NotFoundError
from shared.store.records import PullRequest
from shared.store.rows import columns, decode_cursor, field_values, page, to_record, to_records, to_row
from shared.store.tables import pull_requests, tasks

_COLUMNS = columns(PullRequest, pull_requests)


async def open(tx: AsyncConnection, pull_request: PullRequest) -> PullRequest:
    """Store it under the repository's next number (its own `number` does not matter); the first one of the same task and branch wins."""
    await tx.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(f"pull_requests:{pull_request.repo}", 0))))
    same = pull_requests.c.task_id == pull_request.task_id, pull_requests.c.branch == pull_request.branch
    first = to_record(PullRequest, (await tx.execute(select(*_COLUMNS).where(*same))).first())
    if first is not None:
        return first
    highest = select(func.coalesce(func.max(pull_requests.c.number), 0)).where(pull_requests.c.repo == pull_request.repo)
    numbered = pull_request.model_copy(update={"number": (await tx.execute(highest)).scalar_one() + 1})
    owner = select(tasks.c.user_id).where(tasks.c.id == pull_request.task_id).scalar_subquery()
    await tx.execute(insert_into(pull_requests).values({**to_row(numbered), "user_id": owner}))
    return numbered


async def get(tx: AsyncConnection, id: str) -> PullRequest | None:
    return to_record(PullRequest, (await tx.execute(select(*_COLUMNS).where(pull_requests.c.id == id))).first())


async def by_task(tx: AsyncConnection, task_id: str) -> PullRequest | None:
    """The newest pull request of a task."""
    query = select(*_COLUMNS).where(pull_requests.c.task_id == task_id).order_by(pull_requests.c.created_at.desc()).limit(1)
    return to_record(PullRequest, (await tx.execute(query)).first())


async def update(tx: AsyncConnection, id: str, **fields: Any) -> PullRequest:
    """Change fields; `NotFoundError` when there is no such pull request."""
    values = field_values(PullRequest, fields)
    changed = update_table(pull_requests).where(pull_requests.c.id == id).values(values).returning(*_COLUMNS)
    found = to_record(PullRequest, (await tx.execute(changed)).first())
    if found is None:
        raise NotFoundError(f"There is no pull request {id}.")
    return found


async def list_(
    tx: AsyncConnection, repo: str | None = None, *, user_id: str | None = None, limit: int = 50, cursor: str | None = None
) -> tuple[list[PullRequest], str | None]:
    """Newest first, and the cursor of the next page; of every repository when `repo` is None, of every user's tasks without `user_id`."""
    query = select(*_COLUMNS).order_by(pull_requests.c.created_at.desc(), pull_requests.c.id.desc()).limit(limit + 1)
    if repo is not None:
        query = query.where(pull_requests.c.repo == repo)
    if user_id is not None:
        query = query.where(pull_requests.c.user_id == user_id)
    if cursor:
        query = query.where(tuple_(pull_requests.c.created_at, pull_requests.c.id) < tuple_(*decode_cursor(cursor, datetime, str)))
    return page(to_records(PullRequest, await tx.execute(query)), limit, "created_at", "id")
