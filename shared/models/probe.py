"""Whether a provider accepts the key and knows the model, found out by asking it for the model's entry: that costs nothing."""

from __future__ import annotations

import asyncio
from typing import Any

from shared.models.names import PROVIDERS, ModelName, ModelSettings
from shared.models.port import ModelError
from shared.models.registry import open_client, secrets_of

LIMIT_S = 15.0


async def probe(name: ModelName, settings: ModelSettings) -> bool:
    """False for a provider that cannot be asked. `ModelError` says what is wrong."""
    from shared.models.failures import SilentStreamError, failure_of

    if name.provider not in PROVIDERS:
        return False
    client: Any = open_client(name, settings)
    try:
        async with asyncio.timeout(LIMIT_S):
            known = await _ask(client, name)
    except Exception as exc:
        said = SilentStreamError(f"{LIMIT_S:g}") if isinstance(exc, TimeoutError) else exc
        failure = failure_of(said, name, secrets_of(settings))
        if failure is None:
            raise
        raise failure.error() from None
    if not known:
        raise ModelError(f"The server does not serve the model {name.model!r}.", "Correct PERSEVERE_MODEL.", code="model_unknown")
    return True


async def _ask(client: Any, name: ModelName) -> bool:
    match name.provider:
        case "anthropic":
            await client._async_client.models.retrieve(name.model)
        case "google_genai":
            await client.client.aio.models.get(model=name.model)
        case "openai":
            await client.root_async_client.models.retrieve(name.model)
        case _:
            served = [model.id async for model in client.root_async_client.models.list()]
            return bool({name.model, f"{name.model}:latest"} & set(served))
    return True
