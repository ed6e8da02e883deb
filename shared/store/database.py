"""The database: one pool of connections for a process."""

from __future__ import annotations

import asyncio
import select
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any
from urllib.parse import urlsplit

import psycopg
from sqlalchemy import event, exc
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from shared.errors import SettingsError, UnavailableError

_CONNECT_TIMEOUT_S = 10
CONNECTION: dict[str, Any] = {
    "connect_timeout": _CONNECT_TIMEOUT_S,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "tcp_user_timeout": 10_000,
}
"""How every connection is made: one whose other side was cut off is given up after about 10 s."""
FROZEN_S = 8
"""Seconds after which the server ends a transaction that does nothing: a stopped process must not keep what it has locked."""
ANNOUNCED = "announced"
"""In the `info` of a transaction's connection: task -> seq of its last new event. Missing: the database announces."""
_NEXT_STEP = "Check that PostgreSQL runs and that DATABASE_URL is right, or unset it to use the embedded server."


def normalise_url(url: str) -> str:
    """`url` as libpq understands it (`postgresql://…`); `SettingsError` when it is no PostgreSQL address."""
    scheme, _, rest = url.partition("://")
    if scheme not in ("postgresql", "postgres", "postgresql+psycopg") or not rest:
        raise SettingsError(
            "DATABASE_URL is not the address of a PostgreSQL database.", "Set it to postgresql://user:password@host:5432/name."
        )
    return f"postgresql://{rest}"


def unavailable(url: str, error: Exception) -> UnavailableError:
    """One sentence that names the server and never the password."""
    try:
        parts = urlsplit(url)
        where = parts.hostname or "the embedded server"
    except ValueError:
        where = "the configured address"
    password = _password(url)
    reason = str(getattr(error, "orig", None) or error).strip().splitlines()[-1:] or [type(error).__name__]
    said = reason[0].strip()
    return UnavailableError(f"The database at {where} cannot be used: {said.replace(password, '***') if password else said}", _NEXT_STEP)


def _password(url: str) -> str:
    try:
        return str(psycopg.conninfo.conninfo_to_dict(url).get("password") or "")
    except psycopg.Error:
        return ""


class Database:
    """`url` is SQLAlchemy's form of the address, `conninfo` libpq's, for psycopg, procrastinate and the checkpointer."""

    def __init__(self, conninfo: str, engine: AsyncEngine) -> None:
        self.conninfo = conninfo
        self.url = conninfo.replace("postgresql://", "postgresql+psycopg://", 1)
        self._engine = engine
        self._autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
        self.announce: Callable[[Mapping[str, int]], None] | None = None
        """Told after a commit what `ANNOUNCED` gathered in the transaction. None: the database announces it."""

    @asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """BEGIN … COMMIT, or ROLLBACK when the body raises. `UnavailableError` when the connection is lost."""
        try:
            async with self._engine.begin() as connection:
                with self._gathering(connection) as announced:
                    yield connection
            if announced and self.announce is not None:
                self.announce(announced)
        except exc.DBAPIError as error:
            if _lost(error):
                raise unavailable(self.conninfo, error) from error
            raise
        except psycopg.OperationalError as error:
            raise unavailable(self.conninfo, error) from error

    @contextmanager
    def _gathering(self, connection: AsyncConnection) -> Iterator[dict[str, int]]:
        """A place for this transaction's announcements."""
        gathered: dict[str, int] = {}
        if self.announce is None:
            yield gathered
            return
        kept = connection.info
        kept[ANNOUNCED] = gathered
        try:
            yield gathered
        finally:
            kept.pop(ANNOUNCED, None)

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[AsyncConnection]:
        """For reads: each statement sees what is committed at that moment."""
        try:
            async with self._autocommit.connect() as connection:
                yield connection
        except exc.DBAPIError as error:
            if _lost(error):
                raise unavailable(self.conninfo, error) from error
            raise
        except psycopg.OperationalError as error:
            raise unavailable(self.conninfo, error) from error

    async def aclose(self) -> None:
        """Close the connections of the pool. Those in use are closed when they come back."""
        await self._engine.dispose()


async def connect(conninfo: str, *, application_name: str = "persevere", autocommit: bool = False) -> psycopg.AsyncConnection[Any]:
    """A connection of our kind. When we are cancelled meanwhile it is closed: psycopg would leave it half open until it is collected."""
    connecting = asyncio.ensure_future(_connect(conninfo, application_name, autocommit))
    try:
        return await asyncio.shield(connecting)
    except asyncio.CancelledError:
        connecting.add_done_callback(_drop)
        raise


def _drop(connecting: asyncio.Task[psycopg.AsyncConnection[Any]]) -> None:
    if not connecting.cancelled() and connecting.exception() is None:
        connecting.result().pgconn.finish()


async def _connect(conninfo: str, application_name: str, autocommit: bool) -> psycopg.AsyncConnection[Any]:
    connection: psycopg.AsyncConnection[Any] = await psycopg.AsyncConnection.connect(
        conninfo, application_name=application_name, autocommit=autocommit, **CONNECTION
    )
    try:
        await give_up_when_frozen(connection)
    except BaseException:
        await connection.close()
        raise
    return connection


async def give_up_when_frozen(connection: psycopg.AsyncConnection[Any]) -> None:
    """Let the server end transactions of a process that was stopped or cut off within them. By SET: poolers refuse start-up options."""
    autocommit = connection.autocommit
    await connection.set_autocommit(True)
    await connection.execute(f"SET idle_in_transaction_session_timeout = '{FROZEN_S}s'".encode())
    await connection.set_autocommit(autocommit)


def _lost(error: exc.DBAPIError) -> bool:
    return error.connection_invalidated or (isinstance(error.orig, psycopg.OperationalError) and error.orig.sqlstate is None)


def _reject_hung_up(dbapi_connection: Any, _record: Any, _proxy: Any) -> None:
    """An idle connection with something to read was closed by the server: take another, without asking over the network first."""
    if _hung_up(dbapi_connection.driver_connection):
        raise exc.DisconnectionError("the server closed the connection")


async def check_alive(connection: psycopg.AsyncConnection[Any]) -> None:
    """The same for a pool of psycopg's, which would take it for a good one again unless it is closed."""
    if _hung_up(connection):
        await connection.close()
        raise psycopg.OperationalError("the server closed the connection")


def _hung_up(connection: psycopg.AsyncConnection[Any]) -> bool:
    return connection.closed or (hasattr(select, "poll") and _readable(connection.pgconn.socket))


def _readable(descriptor: int) -> bool:
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


@asynccontextmanager
async def open_database(url: str, *, pool_size: int = 10) -> AsyncIterator[Database]:
    """Open the pool and make sure that the server answers; `UnavailableError` in one sentence when it does not."""
    conninfo = normalise_url(url)

    engine = create_async_engine(
        "postgresql+psycopg://",
        async_creator=lambda: connect(conninfo),
        pool_size=pool_size,
        max_overflow=pool_size,
        pool_timeout=30,
        use_native_hstore=False,
    )
    event.listen(engine.sync_engine, "checkout", _reject_hung_up)
    database = Database(conninfo, engine)
    try:
        async with database.connection():
            pass
        yield database
    finally:
        await database.aclose()
