"""Keys of models that belong to a user: at most one of a provider, encrypted before they come here."""

from __future__ import annotations

from datetime import datetime

from pydantic import Field
from sqlalchemy import bindparam, select
from sqlalchemy import delete as delete_from
from sqlalchemy.dialects.postgresql import insert as insert_into
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.store.records import Record
from shared.store.rows import columns, to_record, to_records
from shared.store.tables import model_keys
from shared.types import utcnow


class ModelKey(Record):
    """`sealed` is the encrypted key; `last_four` its last characters, for people to tell keys apart."""

    user_id: str
    provider: str
    name: str
    last_four: str
    sealed: bytes = Field(repr=False)
    created_at: datetime = Field(default_factory=utcnow)
    updated_at: datetime = Field(default_factory=utcnow)


_COLUMNS = columns(ModelKey, model_keys)
_MINE = model_keys.c.user_id == bindparam("user")
_THIS = model_keys.c.provider == bindparam("of")
_GET = select(*_COLUMNS).where(_MINE, _THIS)
_LIST = select(*_COLUMNS).where(_MINE).order_by(model_keys.c.provider)


async def insert(tx: AsyncConnection, key: ModelKey) -> ModelKey | None:
    """None when the user has one of the provider already."""
    made = insert_into(model_keys).values(key.model_dump()).on_conflict_do_nothing().returning(*_COLUMNS)
    return to_record(ModelKey, (await tx.execute(made)).first())


async def replace(tx: AsyncConnection, key: ModelKey) -> ModelKey:
    """Keeps when the first key of the provider was stored."""
    changed = {name: getattr(key, name) for name in ("name", "last_four", "sealed", "updated_at")}
    made = insert_into(model_keys).values(key.model_dump()).on_conflict_do_update(index_elements=["user_id", "provider"], set_=changed)
    stored = to_record(ModelKey, (await tx.execute(made.returning(*_COLUMNS))).first())
    assert stored is not None
    return stored


async def get(tx: AsyncConnection, user_id: str, provider: str) -> ModelKey | None:
    return to_record(ModelKey, (await tx.execute(_GET, {"user": user_id, "of": provider})).first())


async def list_(tx: AsyncConnection, user_id: str) -> list[ModelKey]:
    """By provider; there are only so many providers."""
    return to_records(ModelKey, await tx.execute(_LIST, {"user": user_id}))


async def delete(tx: AsyncConnection, user_id: str, provider: str) -> bool:
    """False when there was none."""
    gone = delete_from(model_keys).where(model_keys.c.user_id == user_id, model_keys.c.provider == provider)
    return (await tx.execute(gone)).rowcount > 0
