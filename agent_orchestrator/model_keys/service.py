"""Storing and removing a user's keys, each in one transaction with its entry in the audit log."""

from __future__ import annotations

from sqlalchemy.ext.asyncio import AsyncConnection

from agent_orchestrator.dependencies import Services
from agent_orchestrator.model_keys.keys import sealed
from agent_orchestrator.model_keys.schemas import SHOWN, KeyBody
from shared.errors import ConflictError, NotFoundError
from shared.store import audit, model_keys
from shared.store.model_keys import ModelKey
from shared.store.rows import clean


async def own_key(given: Services, provider: str) -> ModelKey:
    async with given.resources.database.connection() as tx:
        key = await model_keys.get(tx, given.user_id, provider)
    if key is None:
        raise _none(provider)
    return key


async def create(given: Services, tx: AsyncConnection, provider: str, body: KeyBody) -> ModelKey:
    """`ConflictError` when there is one: replacing is said expressly."""
    stored = await model_keys.insert(tx, _row(given, provider, body))
    if stored is None:
        raise ConflictError(
            f"You have stored a key for {provider} already.", f"PUT /model-keys/{provider} replaces it.", code="model_key_exists"
        )
    await _record(given, tx, "model_key.stored", provider)
    return stored


async def replace(given: Services, tx: AsyncConnection, provider: str, body: KeyBody) -> ModelKey:
    stored = await model_keys.replace(tx, _row(given, provider, body))
    await _record(given, tx, "model_key.stored", provider)
    return stored


async def remove(given: Services, provider: str) -> None:
    async with given.resources.database.transaction() as tx:
        if not await model_keys.delete(tx, given.user_id, provider):
            raise _none(provider)
        await _record(given, tx, "model_key.removed", provider)


def _row(given: Services, provider: str, body: KeyBody) -> ModelKey:
    return ModelKey(
        user_id=given.user_id,
        provider=provider,
        name=clean(body.name),
        last_four=body.key.get_secret_value()[-SHOWN:],
        sealed=sealed(given.resources.box, given.user_id, provider, body.key),
    )


async def _record(given: Services, tx: AsyncConnection, action: str, provider: str) -> None:
    await audit.append(tx, actor=given.user_id, action=action, subject=provider)


def _none(provider: str) -> NotFoundError:
    return NotFoundError(f"You have stored no key for {provider}.", "GET /model-keys lists yours.", code="model_key_not_found")
