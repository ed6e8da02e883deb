"""The caller's own keys of models: stored, replaced, removed, and never told again."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from agent_orchestrator.dependencies import Given
from agent_orchestrator.errors import BODY, problems
from agent_orchestrator.idempotency import Keyed
from agent_orchestrator.model_keys import service
from agent_orchestrator.model_keys.schemas import KeyBody, KeyList, KeyView, NewKey, ProviderName
from shared.store import model_keys

router = APIRouter(tags=["models"])


@router.get("/model-keys", response_model=KeyList, responses=problems())
async def list_model_keys(given: Given) -> KeyList:
    """Your keys, without the keys themselves."""
    async with given.resources.database.connection() as tx:
        return KeyList(items=[KeyView.of(key) for key in await model_keys.list_(tx, given.user_id)])


@router.post("/model-keys", response_model=KeyView, status_code=201, responses=problems(409, *BODY))
async def create_model_key(request: Request, body: NewKey, given: Given) -> Response:
    """Store your key of a provider; your tasks use it in place of the server's."""
    keyed = Keyed(request, given, 201)
    async with keyed.transaction() as tx:
        return await keyed.keep(tx, KeyView.of(await service.create(given, tx, body.provider, body)))


@router.get("/model-keys/{provider}", response_model=KeyView, responses=problems(404, 422))
async def get_model_key(provider: ProviderName, given: Given) -> KeyView:
    """One of your keys, without the key itself."""
    return KeyView.of(await service.own_key(given, provider))


@router.put("/model-keys/{provider}", response_model=KeyView, responses=problems(*BODY))
async def put_model_key(provider: ProviderName, body: KeyBody, given: Given) -> KeyView:
    """Store or replace your key of a provider; running tasks use it from their next call on."""
    async with given.resources.database.transaction() as tx:
        return KeyView.of(await service.replace(given, tx, provider, body))


@router.delete("/model-keys/{provider}", status_code=204, responses=problems(404, 422))
async def delete_model_key(provider: ProviderName, given: Given) -> Response:
    """Remove your key; a running task that uses it fails at its next call and says so."""
    await service.remove(given, provider)
    return Response(status_code=204)
