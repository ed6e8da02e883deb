"""Bring a database up to date: our tables, procrastinate's and LangGraph's checkpoints.

When nothing is to do this is one connection and one SELECT, and neither Alembic nor LangGraph is imported.
"""

from __future__ import annotations

import asyncio
import importlib.util
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import psycopg
from psycopg.rows import dict_row

from shared.errors import UnavailableError
from shared.store.database import normalise_url, unavailable

REVISION = "0008"
"""Our newest Alembic revision."""
PROCRASTINATE = "3.10.0"
CHECKPOINTS = 9
"""LangGraph's newest checkpoint migration."""
HEAD = f"{REVISION} procrastinate-{PROCRASTINATE} checkpoints-{CHECKPOINTS}"

_LOCK = 5_072_137_365_911
_STATE = """CREATE TABLE IF NOT EXISTS schema_state (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row), head text NOT NULL, procrastinate text NOT NULL)"""
_Connection = psycopg.AsyncConnection[dict[str, Any]]


async def upgrade(url: str) -> None:
    """Apply what is missing, one process at a time. `UnavailableError` when it cannot be reached or is newer than this program."""
    conninfo = normalise_url(url)
    try:
        async with _connect(conninfo) as connection:
            if await _head(connection) == HEAD:
                return
            async with _alone(connection):
                if await _head(connection) != HEAD:
                    await _apply(connection, conninfo)
    except psycopg.OperationalError as error:
        raise unavailable(conninfo, error) from error


@asynccontextmanager
async def _connect(conninfo: str) -> AsyncIterator[_Connection]:
    connection = await psycopg.AsyncConnection.connect(
        conninfo, autocommit=True, prepare_threshold=0, row_factory=dict_row, connect_timeout=10
    )
    async with connection:
        yield connection


async def _head(connection: _Connection) -> str | None:
    try:
        row = await (await connection.execute("SELECT head FROM schema_state")).fetchone()
    except psycopg.errors.UndefinedTable:
        return None
    return row["head"] if row else None


@asynccontextmanager
async def _alone(connection: _Connection) -> AsyncIterator[None]:
    """Asks again and again: a statement that waits for the lock would in turn hold up CREATE INDEX CONCURRENTLY."""
    while True:
        row = await (await connection.execute("SELECT pg_try_advisory_lock(%s) AS held", (_LOCK,))).fetchone()
        if row is not None and row["held"]:
            break
        await asyncio.sleep(0.05)
    try:
        yield
    finally:
        if not connection.closed:
            await connection.execute("SELECT pg_advisory_unlock(%s)", (_LOCK,))


async def _apply(connection: _Connection, conninfo: str) -> None:
    await connection.execute(_STATE)
    await asyncio.to_thread(_apply_ours, conninfo)
    await _apply_procrastinate(connection)
    await _apply_checkpoints(connection)
    await connection.execute(
        "INSERT INTO schema_state (head, procrastinate) VALUES (%s, %s)"
        " ON CONFLICT (only_row) DO UPDATE SET head = excluded.head, procrastinate = excluded.procrastinate",
        (HEAD, PROCRASTINATE),
    )


def _apply_ours(conninfo: str) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.util import CommandError
    from sqlalchemy import create_engine, pool

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).with_name("migrations")).replace("%", "%%"))
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(conninfo), poolclass=pool.NullPool)
    try:
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except CommandError as error:
        raise UnavailableError(
            "The database was made by a newer version of Persevere.", "Install that version, or use another database."
        ) from error
    finally:
        engine.dispose()


async def _apply_procrastinate(connection: _Connection) -> None:
    """Its whole schema, or its migrations since the version that was recorded; in one transaction."""
    spec = importlib.util.find_spec("procrastinate")
    assert spec is not None, "procrastinate is a dependency"
    assert spec.origin is not None, "procrastinate is installed as files"
    folder = Path(spec.origin).parent / "sql"
    there = await (await connection.execute("SELECT to_regclass('procrastinate_jobs') IS NOT NULL AS there")).fetchone()
    async with connection.transaction():
        if there is None or not there["there"]:
            await connection.execute((folder / "schema.sql").read_bytes(), prepare=False)
            return
        row = await (await connection.execute("SELECT procrastinate FROM schema_state")).fetchone()
        since = _numbers(row["procrastinate"] if row else PROCRASTINATE)
        for path in sorted((folder / "migrations").glob("*.sql")):
            if _numbers(path.name.split("_")[0]) > since:
                await connection.execute(path.read_bytes(), prepare=False)


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))


async def _apply_checkpoints(connection: _Connection) -> None:
    from langgraph.checkpoint.postgres.aio import AsyncPostgresSaver

    await AsyncPostgresSaver(conn=connection).setup()
