"""`Idempotency-Key` on requests that create something: the same key and body gets the first answer again."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable

from fastapi import Request
from pydantic import BaseModel
from starlette.responses import JSONResponse

from agent_orchestrator.guard import BODY_KEY
from shared.errors import InvalidRequestError
from shared.store import idempotency
from shared.store.database import Database
from shared.types import Json, sha256_hex

logger = logging.getLogger("persevere.http")

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
MAX_KEY = 200


async def once(request: Request, database: Database, user_id: str, status: int, work: Callable[[], Awaitable[BaseModel]]) -> JSONResponse:
    """Answer with what `work` makes, or with the first answer to the same key.

    A request that fails leaves its key free. `InvalidRequestError` (422) for another request under the key, `ConflictError` (409)
    while the first is in flight.
    """
    key = _key(request)
    if key is None:
        return JSONResponse(_json(await work()), status_code=status)
    async with database.transaction() as tx:
        stored = await idempotency.begin(tx, user_id, key, _fingerprint(request))
    if stored is not None:
        return JSONResponse(stored.body, status_code=stored.status, headers={REPLAYED: "true"})
    try:
        body = _json(await work())
    except BaseException:
        await asyncio.shield(_abandon(database, user_id, key))
        raise
    async with database.transaction() as tx:
        await idempotency.finish(tx, user_id, key, status, body)
    return JSONResponse(body, status_code=status)


async def _abandon(database: Database, user_id: str, key: str) -> None:
    try:
        async with database.transaction() as tx:
            await idempotency.abandon(tx, user_id, key)
    except Exception:
        logger.exception("an idempotency key could not be set free; it frees itself after a minute")


def _json(model: BaseModel) -> Json:
    return model.model_dump(mode="json")


def _key(request: Request) -> str | None:
    key = request.headers.get(HEADER)
    if key is None:
        return None
    key = key.strip()
    if not 1 <= len(key) <= MAX_KEY or not key.isascii() or not key.isprintable():
        raise InvalidRequestError(
            f"An Idempotency-Key has 1 to {MAX_KEY} printable ASCII characters.", "Send a new UUID.", code="invalid_idempotency_key"
        )
    return key


def _fingerprint(request: Request) -> str:
    """The request's method, address and body, as one hash."""
    head = f"{request.method} {request.url.path}?{request.url.query}\n".encode()
    return sha256_hex(head + request.scope.get(BODY_KEY, b""))
