"""Making machines at E2B so that none is made twice or forgotten, and finding them again."""

from __future__ import annotations

import asyncio
import contextlib
import time
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING

from shared.errors import SandboxError, SandboxUnreachableError
from shared.sandbox.e2b_errors import translate
from shared.sandbox.e2b_machine import E2BAccount, E2BMachine
from shared.sandbox.execution import finish

if TYPE_CHECKING:
    from e2b import AsyncSandbox
    from e2b.sandbox.sandbox_api import SandboxInfo

OURS = {"persevere": "sandbox"}
LABEL = "persevere-label-"
OPENED = "persevere-opened"
"""When it was made, in seconds since 1970: E2B's own word for that is of its last resume."""
_KEY = "persevere-key"
_PAGE = 100
_CLEARING_S = 20.0


async def create(account: E2BAccount, labels: Mapping[str, str]) -> E2BMachine:
    """A new machine without network. Its time over, one with labels is paused, for a sweep to find; one without is removed.

    `SandboxError` with what to do when it cannot be had. Cancelled, it leaves none behind.
    """
    key = str(uuid.uuid4())
    making = asyncio.create_task(_make(account, labels, key))
    try:
        sandbox = await asyncio.shield(making)
    except asyncio.CancelledError:
        await finish(_unmake(making))
        raise
    return E2BMachine(account, sandbox)


async def listed(account: E2BAccount, metadata: Mapping[str, str]) -> list[SandboxInfo]:
    """Every sandbox with that metadata, running or paused. `SandboxError`."""
    from e2b import AsyncSandbox, SandboxQuery

    found: list[SandboxInfo] = []
    try:
        pages = AsyncSandbox.list(query=SandboxQuery(metadata=dict(metadata)), limit=_PAGE, **account.options())
        while pages.has_next:
            found += await pages.next_items()
    except Exception as error:
        raise translate(error) from error
    return found


async def _make(account: E2BAccount, labels: Mapping[str, str], key: str) -> AsyncSandbox:
    """Ask until it is answered. An answer that was lost may have made one: it is looked for before the next try, by the same key."""
    from e2b import AsyncSandbox

    metadata = {**{LABEL + name: value for name, value in labels.items()}, **OURS, _KEY: key, OPENED: str(int(time.time()))}
    until = time.monotonic() + account.patience_s
    delay = 0.1
    while True:
        try:
            return await AsyncSandbox.create(
                account.template,
                timeout=account.ttl_s,
                metadata=metadata,
                allow_internet_access=False,
                network={"allow_public_traffic": False},
                lifecycle={"on_timeout": "pause", "auto_resume": False} if labels else {"on_timeout": "kill"},
                idempotency_key=key,
                **account.options(),
            )
        except Exception as error:
            problem = translate(error, account.template)
            if not isinstance(problem, SandboxUnreachableError) or time.monotonic() > until:
                raise problem from error
        await asyncio.sleep(delay)
        delay = min(delay * 2, 5.0)
        with contextlib.suppress(SandboxError):
            if made := await listed(account, {_KEY: key}):
                return await reconnect(account, made[0].sandbox_id)


async def reconnect(account: E2BAccount, identifier: str) -> AsyncSandbox:
    """One that is there already; a paused one goes on. `SandboxError`."""
    from e2b import AsyncSandbox

    try:
        return await AsyncSandbox.connect(identifier, timeout=account.ttl_s, **account.options())
    except Exception as error:
        raise translate(error) from error


async def _unmake(making: asyncio.Task[AsyncSandbox]) -> None:
    with contextlib.suppress(Exception):
        async with asyncio.timeout(_CLEARING_S):
            await (await making).kill()
