"""Conversations and their messages."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import bindparam, select, text, tuple_
from sqlalchemy import delete as delete_from
from sqlalchemy import update as update_table
from sqlalchemy.dialects.postgresql import JSON
from sqlalchemy.dialects.postgresql import insert as insert_into
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.errors import NotFoundError
from shared.store.records import Message, Session
from shared.store.rows import columns, decode_cursor, field_values, page, to_record, to_records, to_row
from shared.store.tables import messages as message_rows
from shared.store.tables import sessions
from shared.types import utcnow

_COLUMNS = columns(Session, sessions)
_MESSAGE_COLUMNS = columns(Message, message_rows)

# Statements of every chat turn are built once: building one costs more than running it.
_INSERT = insert_into(sessions)
_BEGIN = insert_into(sessions).on_conflict_do_nothing(index_elements=["id"]).returning(sessions.c.id)
_GET = select(*_COLUMNS).where(sessions.c.id == bindparam("id_"))
_LOCK = _GET.with_for_update(key_share=True)
_ADD_MESSAGES = insert_into(message_rows)
_MESSAGES = (
    select(*_MESSAGE_COLUMNS)
    .where(message_rows.c.session_id == bindparam("session"))
    .order_by(message_rows.c.position.desc())
    .limit(bindparam("most"))
)
_RECORD_TURN = text(
    "WITH changed AS (UPDATE sessions SET draft = :draft, context = :context, updated_at = :updated_at WHERE id = :id) "
    "INSERT INTO messages (id, session_id, role, content, metadata, created_at) VALUES "
    "(:said_id, :id, :said_role, :said_content, :said_metadata, :said_created_at), "
    "(:answered_id, :id, :answered_role, :answered_content, :answered_metadata, :answered_created_at)"
).bindparams(
    bindparam("draft", type_=JSON(none_as_null=True)),
    *(bindparam(name, type_=JSON) for name in ("context", "said_metadata", "answered_metadata")),
)


async def insert(tx: AsyncConnection, session: Session) -> Session:
    await tx.execute(_INSERT, to_row(session))
    return session


async def begin(tx: AsyncConnection, session: Session) -> bool:
    """Insert the session unless there is one with its id; whether it was inserted. Waits for a turn that inserts the same one."""
    return (await tx.execute(_BEGIN, to_row(session))).first() is not None


async def get(tx: AsyncConnection, id: str) -> Session | None:
    return to_record(Session, (await tx.execute(_GET, {"id_": id})).first())


async def lock(tx: AsyncConnection, id: str) -> Session | None:
    """The session, held until the end of the transaction: turns of one session come one after the other."""
    return to_record(Session, (await tx.execute(_LOCK, {"id_": id})).first())


async def update(tx: AsyncConnection, id: str, **fields: Any) -> Session:
    """Change fields and set `updated_at`; `NotFoundError` when there is no such session."""
    values = field_values(Session, {"updated_at": utcnow(), **fields})
    changed = update_table(sessions).where(sessions.c.id == id).values(values).returning(*_COLUMNS)
    session = to_record(Session, (await tx.execute(changed)).first())
    if session is None:
        raise NotFoundError(f"There is no session {id}.")
    return session


async def delete(tx: AsyncConnection, id: str) -> bool:
    """Remove a session and its messages; its tasks stay. False when there was none."""
    return (await tx.execute(delete_from(sessions).where(sessions.c.id == id))).rowcount > 0


async def list_(
    tx: AsyncConnection, user_id: str | None, *, project_id: str | None = None, limit: int = 50, cursor: str | None = None
) -> tuple[list[Session], str | None]:
    """The last used first, and the cursor of the next page."""
    query = select(*_COLUMNS).order_by(sessions.c.updated_at.desc(), sessions.c.id.desc()).limit(limit + 1)
    if user_id is not None:
        query = query.where(sessions.c.user_id == user_id)
    if project_id is not None:
        query = query.where(sessions.c.project_id == project_id)
    if cursor:
        query = query.where(tuple_(sessions.c.updated_at, sessions.c.id) < tuple_(*decode_cursor(cursor, datetime, str)))
    return page(to_records(Session, await tx.execute(query)), limit, "updated_at", "id")


async def add_messages(tx: AsyncConnection, messages: Sequence[Message]) -> None:
    """Append messages of one session, in this order."""
    if messages:
        await tx.execute(_ADD_MESSAGES, [to_row(message) for message in messages])


async def record_turn(tx: AsyncConnection, session: Session, said: Message, answered: Message) -> None:
    """Both messages of a turn, and the session's `draft`, `context` and `updated_at` as they are after it, in one statement.

    `NotFoundError` when the session was deleted meanwhile.
    """
    row = to_row(session)
    values = {name: row[name] for name in ("id", "draft", "context", "updated_at")}
    for role, message in (("said", said), ("answered", answered)):
        values |= {f"{role}_{name}": value for name, value in to_row(message).items() if name != "session_id"}
    try:
        await tx.execute(_RECORD_TURN, values)
    except IntegrityError as error:
        raise NotFoundError(f"There is no session {session.id}.", "Leave session_id out to begin a new one.") from error


async def messages(tx: AsyncConnection, session_id: str, *, limit: int = 50, before: str | None = None) -> list[Message]:
    """The last `limit` messages, oldest first; those before the message with the id `before` when it is given."""
    query = _MESSAGES
    if before is not None:
        position = select(message_rows.c.position).where(message_rows.c.id == before, message_rows.c.session_id == session_id)
        query = query.where(message_rows.c.position < position.scalar_subquery())
    found = to_records(Message, await tx.execute(query, {"session": session_id, "most": limit}))
    return found[::-1]
