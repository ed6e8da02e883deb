"""`Idempotency-Key` on requests that create something: the same key and body gets the first answer again."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import Request
from pydantic import BaseModel
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.responses import JSONResponse

from agent_orchestrator.dependencies import Services
from agent_orchestrator.guard import BODY_KEY
from shared.errors import ConflictError, InvalidRequestError
from shared.store import idempotency
from shared.types import sha256_hex

HEADER = "Idempotency-Key"
REPLAYED = "Idempotency-Replayed"
MAX_KEY = 200


class AnsweredError(ConflictError):
    """The request was answered before; `stored` is the answer, which the client gets again."""

    code = "idempotency_answered"

    def __init__(self, stored: idempotency.Stored) -> None:
        super().__init__("This request was answered already.", "Repeat it to get the answer.")
        self.stored = stored


class Keyed:
    """A request that creates something, under a key or without one. Its work and its answer are stored in one transaction:

    `check()` before anything that takes time; `transaction()` around the work; `keep()` as its last step. A request that fails, or
    whose process is killed, leaves its key free. `InvalidRequestError` (422) for another request under the key, `ConflictError` (409)
    while the first is in flight, `AnsweredError` (told to the client as the first answer) when it was answered.
    """

    def __init__(self, request: Request, given: Services, status: int) -> None:
        self._database, self._user_id, self._status = given.resources.database, given.user_id, status
        self._key = read_key(request)
        self._hash = _fingerprint(request) if self._key is not None else ""

    async def check(self) -> None:
        if self._key is not None:
            async with self._database.transaction() as tx:
                await self.begin(tx)

    async def begin(self, tx: AsyncConnection) -> None:
        """Take the key until `tx` ends."""
        if self._key is None:
            return
        stored = await idempotency.begin(tx, self._user_id, self._key, self._hash)
        if stored is not None:
            raise AnsweredError(stored)

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        async with self._database.transaction() as tx:
            await self.begin(tx)
            yield tx

    async def keep(self, tx: AsyncConnection, answer: BaseModel) -> JSONResponse:
        """Store the answer with the work; the response to give once `tx` is committed."""
        body = answer.model_dump(mode="json")
        if self._key is not None:
            await idempotency.finish(tx, self._user_id, self._key, self._hash, self._status, body)
        return JSONResponse(body, status_code=self._status)


async def replay(_request: Request, exc: Exception) -> JSONResponse:
    """The first answer, for the app's handler of `AnsweredError`."""
    assert isinstance(exc, AnsweredError)
    return JSONResponse(exc.stored.body, status_code=exc.stored.status, headers={REPLAYED: "true"})


def read_key(request: Request) -> str | None:
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
