"""Which checkpoints a process uses: `PERSEVERE_CHECKPOINTS` says postgres or redis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from agent_orchestrator.runtime.checkpoints.port import Checkpoints
from shared.errors import SettingsError

if TYPE_CHECKING:
    from psycopg_pool import AsyncConnectionPool

    from shared.store.redis import RedisServer

KINDS = ("postgres", "redis")


def build_checkpoints(kind: str, pool: AsyncConnectionPool[Any], redis: RedisServer | None) -> Checkpoints:
    """The checkpoints named `kind`. `pool`: autocommit, dict rows. `SettingsError` for an unknown or incomplete choice."""
    if kind == "postgres":
        from agent_orchestrator.runtime.checkpoints.postgres import PostgresCheckpoints

        return PostgresCheckpoints(pool)
    if kind != "redis":
        raise SettingsError(f"There are no checkpoints named {kind!r}.", f"Set PERSEVERE_CHECKPOINTS to one of: {', '.join(KINDS)}.")
    if redis is None:
        raise SettingsError("Checkpoints on Redis need its address.", "Set REDIS_URL, or PERSEVERE_CHECKPOINTS=postgres.")
    from agent_orchestrator.runtime.checkpoints.valkey import ValkeyCheckpoints

    return ValkeyCheckpoints(pool, redis)
