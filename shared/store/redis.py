"""Redis (or Valkey): a place for what is quick and may be lost. PostgreSQL stays the truth.

Every use goes through `RedisServer.attempt`: a server that is away costs one short wait, then nothing until the next look.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import urlsplit

from shared.errors import SettingsError, UnavailableError

if TYPE_CHECKING:
    from valkey.asyncio import Valkey

T = TypeVar("T")
SCHEMES = ("redis", "rediss", "valkey", "valkeys", "unix")
_CONNECT_S = 1.0
_ANSWER_S = 2.0
_FIRST_PAUSE_S = 0.5
_LONGEST_PAUSE_S = 5.0
_CONNECTIONS = 64
_logger = logging.getLogger(__name__)


class RedisLostError(UnavailableError):
    """Redis cannot be used now: go on without it."""

    code = "redis_unavailable"


class RedisServer:
    """A pool of connections, and whether the server answers. Says once that it is lost, and once that it is back."""

    def __init__(self, url: str, client: Valkey) -> None:
        self.url, self.client = url, client
        self.reason = ""
        """Why it cannot be used, without its password; empty while it answers."""
        self._look_again_at = 0.0
        self._pause = _FIRST_PAUSE_S

    @property
    def place(self) -> str:
        parts = urlsplit(self.url)
        return f"{parts.hostname or parts.path}{f':{parts.port}' if parts.port else ''}"

    async def attempt(self, use: Callable[[Any], Awaitable[T]]) -> T:
        """Run `use` within 2 s; `RedisLostError`, at once while the server is known to be away."""
        from valkey.exceptions import ValkeyError

        if self.reason and time.monotonic() < self._look_again_at:
            raise self._lost()
        try:
            async with asyncio.timeout(_ANSWER_S):
                result = await use(self.client)
        except (ValkeyError, OSError, TimeoutError) as error:
            self._note(error)
            raise self._lost() from error
        if self.reason:
            _logger.warning("Redis at %s answers again", self.place)
            self.reason, self._pause = "", _FIRST_PAUSE_S
        return result

    async def ping(self) -> bool:
        """Whether it answers now; looks even when it was away a moment ago."""
        self._look_again_at = 0.0
        with contextlib.suppress(RedisLostError):
            await self.attempt(lambda client: client.ping())
        return not self.reason

    def _note(self, error: BaseException) -> None:
        first = not self.reason
        self.reason = f"{type(error).__name__}: {_sentence(error, self.url)}".strip(": ")
        self._look_again_at = time.monotonic() + self._pause
        self._pause = min(self._pause * 2, _LONGEST_PAUSE_S)
        if first:
            _logger.warning("Redis at %s cannot be used (%s); going on with PostgreSQL alone until it is back", self.place, self.reason)

    def _lost(self) -> RedisLostError:
        return RedisLostError(f"Redis at {self.place} cannot be used ({self.reason}).", "Start Redis, or correct or unset REDIS_URL.")


def _sentence(error: BaseException, url: str) -> str:
    said = (str(error).strip().splitlines() or [""])[0]
    password = urlsplit(url).password
    return said.replace(password, "***") if password else said


def check_redis_url(url: str) -> str:
    """`url`, or `SettingsError` when it is no address of a Redis server."""
    scheme, _, rest = url.partition("://")
    if scheme not in SCHEMES or not rest:
        raise SettingsError("REDIS_URL is not the address of a Redis server.", "Set it to redis://host:6379/0.")
    return url


def build_client(url: str, *, answer_s: float | None = _ANSWER_S, connections: int = _CONNECTIONS) -> Valkey:
    """A client that gives up connecting after 1 s and never tries a command twice. `answer_s` None: waits for answers for ever."""
    from valkey.asyncio import BlockingConnectionPool, Valkey

    more: dict[str, Any] = {"socket_connect_timeout": _CONNECT_S, "socket_timeout": answer_s, "socket_keepalive": True}
    if url.startswith("unix"):
        more.pop("socket_keepalive")
    pool = BlockingConnectionPool.from_url(url, max_connections=connections, timeout=_ANSWER_S, **more)
    return Valkey(connection_pool=pool)


@asynccontextmanager
async def open_redis(url: str) -> AsyncIterator[RedisServer]:
    """The process's server. It need not answer: what uses it does without until it does."""
    server = RedisServer(check_redis_url(url), build_client(url))
    try:
        await server.ping()
        yield server
    finally:
        await server.client.aclose()
        await server.client.connection_pool.aclose()
