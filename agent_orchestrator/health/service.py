"""Looks at what the service needs."""

from __future__ import annotations

import asyncio
from collections import Counter

from sqlalchemy import text

from agent_orchestrator.dependencies import Services
from agent_orchestrator.health.schemas import Dependency, Readiness
from shared import metrics
from shared.errors import PersevereError
from shared.store import approvals
from shared.store.redis import RedisServer
from shared.types import ApprovalStatus

TIMEOUT_S = 5.0
_MOST = 1000


async def readiness(given: Services) -> Readiness:
    """The state of the database, the worker, the sandbox and Redis, each within a time limit."""
    found = list(await asyncio.gather(_database(given), _worker(given), _sandbox(given)))
    if given.resources.redis is not None:
        found.append(await _redis(given.resources.redis))
    ready = all(item.ok for item in found if item.required)
    return Readiness(status="ready" if ready else "not_ready", dependencies=found)


async def _database(given: Services) -> Dependency:
    try:
        async with asyncio.timeout(TIMEOUT_S), given.resources.database.connection() as tx:
            await tx.execute(text("SELECT 1"))
    except TimeoutError:
        return Dependency(name="database", ok=False, detail=f"It did not answer within {TIMEOUT_S:.0f} s.", next_step="Look at its load.")
    except PersevereError as exc:
        return Dependency(name="database", ok=False, detail=exc.message, next_step=exc.next_step)
    except Exception:
        return Dependency(name="database", ok=False, detail="It cannot be used.", next_step="Look in the server's log.")
    return Dependency(name="database", ok=True, detail="answers")


async def _worker(given: Services) -> Dependency:
    worker = given.resources.worker
    if worker is None:
        return Dependency(name="worker", ok=True, detail="this process has none; `persevere worker` serves the tasks", required=False)
    if worker.is_alive:
        return Dependency(name="worker", ok=True, detail="serves tasks")
    return Dependency(name="worker", ok=False, detail="The worker of this process has ended.", next_step="Start the server again.")


async def _sandbox(given: Services) -> Dependency:
    """Needed where tasks are run: not by a server without a worker."""
    required = given.resources.worker is not None
    try:
        async with asyncio.timeout(TIMEOUT_S):
            provider = await given.resources.sandbox()
    except TimeoutError:
        return Dependency(name="sandbox", ok=False, detail="It is still being looked for.", next_step="Ask again.", required=required)
    except PersevereError as exc:
        return Dependency(name="sandbox", ok=False, detail=exc.message, next_step=exc.next_step, required=required)
    detail = provider.name if provider.isolated else f"{provider.name}: not isolated, unsafe"
    return Dependency(name="sandbox", ok=True, detail=detail, required=required)


async def _redis(redis: RedisServer) -> Dependency:
    """Never required: without it everything goes on over PostgreSQL."""
    if await redis.ping():
        return Dependency(name="redis", ok=True, detail="answers", required=False)
    said = f"It cannot be used ({redis.reason}); PostgreSQL does its work meanwhile, more slowly."
    return Dependency(name="redis", ok=False, detail=said, next_step="Start Redis, or correct or unset REDIS_URL.", required=False)


async def exposition(given: Services) -> bytes:
    """All metrics. Waiting approvals are counted now; without a database they keep what was counted last."""
    try:
        async with asyncio.timeout(TIMEOUT_S), given.resources.database.connection() as tx:
            found, _ = await approvals.list_(tx, status=ApprovalStatus.PENDING.value, limit=_MOST)
        metrics.approvals_pending(Counter((item.gate, item.risk.level) for item in found))
    except (PersevereError, TimeoutError):
        pass
    return metrics.render()
