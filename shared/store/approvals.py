"""Approvals: questions to people. Deciding one is one compare-and-set."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import JSON, cast, func, literal, literal_column, select, tuple_
from sqlalchemy import insert as insert_into
from sqlalchemy import update as update_table
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.store.records import Approval
from shared.store.rows import clean, columns, decode_cursor, encode_cursor, to_record, to_records, to_row
from shared.store.tables import approvals, tasks
from shared.types import ApprovalStatus, Gate, Json, utcnow

_COLUMNS = columns(Approval, approvals)
_WAITING: Any = approvals.c.status == literal_column("'pending'")


async def insert(tx: AsyncConnection, approval: Approval) -> Approval:
    """Ask. A task has at most one pending approval of a gate: close the old one first."""
    owner = select(tasks.c.user_id).where(tasks.c.id == approval.task_id).scalar_subquery()
    await tx.execute(insert_into(approvals).values({**to_row(approval), "user_id": owner}))
    return approval


async def get(tx: AsyncConnection, id: str) -> Approval | None:
    return to_record(Approval, (await tx.execute(select(*_COLUMNS).where(approvals.c.id == id))).first())


async def for_task(tx: AsyncConnection, task_id: str) -> list[Approval]:
    """All approvals of a task, oldest first."""
    query = select(*_COLUMNS).where(approvals.c.task_id == task_id).order_by(approvals.c.created_at, approvals.c.id)
    return to_records(Approval, await tx.execute(query))


async def pending_for_task(tx: AsyncConnection, task_id: str) -> Approval | None:
    """What the task waits for; the newest if there are several."""
    query = select(*_COLUMNS).where(approvals.c.task_id == task_id, approvals.c.status == ApprovalStatus.PENDING.value)
    return to_record(Approval, (await tx.execute(query.order_by(approvals.c.created_at.desc()).limit(1))).first())


async def list_(
    tx: AsyncConnection,
    *,
    user_id: str | None = None,
    status: str | None = None,
    limit: int = 50,
    cursor: str | None = None,
) -> tuple[list[Approval], str | None]:
    """Pending ones first, then newest first, and the cursor of the next page. `user_id` is the task's owner."""
    newest: list[Any] = [approvals.c.created_at, approvals.c.id]
    order = newest if status is not None else [_WAITING, *newest]
    query = select(*_COLUMNS).order_by(*(part.desc() for part in order)).limit(limit + 1)
    if user_id is not None:
        query = query.where(approvals.c.user_id == user_id)
    if status is not None:
        query = query.where(approvals.c.status == str(status))
    if cursor:
        waiting, *last_seen = decode_cursor(cursor, int, datetime, str)
        after = last_seen if status is not None else [bool(waiting), *last_seen]
        query = query.where(tuple_(*order) < tuple_(*after))
    found = to_records(Approval, await tx.execute(query))
    if len(found) <= limit:
        return found, None
    last = found[limit - 1]
    return found[:limit], encode_cursor([int(last.status is ApprovalStatus.PENDING), last.created_at, last.id])


def _with_vote(vote: Json) -> Any:
    votes = func.coalesce(cast(approvals.c.votes, JSONB), literal([], JSONB))
    return cast(votes.op("||")(literal([clean(vote)], JSONB)), JSON)


async def decide(
    tx: AsyncConnection,
    id: str,
    *,
    revision: int,
    from_status: ApprovalStatus = ApprovalStatus.PENDING,
    to_status: ApprovalStatus,
    decision: Json | None,
    vote: Json | None = None,
) -> Approval | None:
    """Decide, in one compare-and-set; None when the approval was not `from_status` at `revision`, or has expired.

    With `to_status` equal to `from_status` only the vote is added: more votes are needed.
    """
    values: dict[str, Any] = {"status": to_status.value}
    if to_status is not from_status:
        values |= {"decision": clean(decision), "decided_at": utcnow()}
    if vote is not None:
        values["votes"] = _with_vote(vote)
    matches = [approvals.c.id == id, approvals.c.status == from_status.value, approvals.c.revision == revision]
    if to_status is not ApprovalStatus.EXPIRED:
        matches.append(approvals.c.expires_at.is_(None) | (approvals.c.expires_at > func.clock_timestamp()))
    decided = update_table(approvals).where(*matches).values(values).returning(*_COLUMNS)
    return to_record(Approval, (await tx.execute(decided)).first())


async def close_pending(tx: AsyncConnection, task_id: str, status: ApprovalStatus) -> int:
    """Close what is still pending (superseded, cancelled, expired); how many there were."""
    pending = approvals.c.task_id == task_id, approvals.c.status == ApprovalStatus.PENDING.value
    return (await tx.execute(update_table(approvals).where(*pending).values(status=status.value, decided_at=utcnow()))).rowcount


async def supersede_alike(tx: AsyncConnection, gate: Gate, subject: Json) -> list[str]:
    """Close the pending questions of a gate whose subjects have all of these values; their tasks. One being decided now is left alone."""
    pending = approvals.c.status == ApprovalStatus.PENDING.value
    alike = cast(approvals.c.subject, JSONB).contains(literal(subject, JSONB))
    found = (
        select(approvals.c.id)
        .where(pending, approvals.c.gate == gate.value, alike)
        .order_by(approvals.c.id)
        .with_for_update(skip_locked=True)
    )
    ids = list((await tx.execute(found)).scalars())
    values = {"status": ApprovalStatus.SUPERSEDED.value, "decided_at": utcnow()}
    closed = update_table(approvals).where(approvals.c.id.in_(ids)).values(values).returning(approvals.c.task_id)
    return list((await tx.execute(closed)).scalars()) if ids else []


async def expired(tx: AsyncConnection, limit: int = 100) -> list[Approval]:
    """Pending approvals whose time has run out, the oldest first."""
    query = select(*_COLUMNS).where(approvals.c.status == ApprovalStatus.PENDING.value, approvals.c.expires_at <= func.clock_timestamp())
    return to_records(Approval, await tx.execute(query.order_by(approvals.c.expires_at).limit(limit)))
