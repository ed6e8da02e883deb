"""The pool: commits, rolls back, survives a lost connection and a cancelled caller, and is quick."""

from __future__ import annotations

import asyncio
from typing import Any

import psycopg
import pytest
from psycopg_pool import AsyncConnectionPool
from sqlalchemy import text

from shared.errors import SettingsError, UnavailableError
from shared.store import tasks
from shared.store.database import Database, check_alive, open_database
from shared.store.records import Task
from shared.types import new_id


def _task() -> Task:
    return Task(id=new_id("task"), user_id="local", title="t", prompt="p", repo="/r")


async def test_rolls_back(database: Database) -> None:
    task = _task()

    async def fail() -> None:
        async with database.transaction() as tx:
            await tasks.insert(tx, task)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    async with database.connection() as tx:
        assert await tasks.get(tx, task.id) is None


async def test_a_terminated_idle_connection_is_replaced_without_an_error(database: Database) -> None:
    async with database.connection() as tx:
        mine = (await tx.execute(text("SELECT pg_backend_pid()"))).scalar_one()
    async with database.connection() as tx, database.connection() as other:
        theirs = (await other.execute(text("SELECT pg_backend_pid()"))).scalar_one()
        assert (await tx.execute(text("SELECT pg_backend_pid()"))).scalar_one() == mine
    async with database.connection() as tx:
        ours = (await tx.execute(text("SELECT pg_backend_pid()"))).scalar_one()
        dead = theirs if ours == mine else mine
        await tx.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": dead})
        await asyncio.sleep(0.1)
        async with database.connection() as fresh:
            assert (await fresh.execute(text("SELECT pg_backend_pid()"))).scalar_one() != dead


async def test_a_connection_lost_in_use_is_unavailable_and_the_next_works(database: Database) -> None:
    async def lose() -> None:
        async with database.transaction() as tx:
            await tx.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))

    with pytest.raises(UnavailableError):
        await lose()
    async with database.connection() as tx:
        assert (await tx.execute(text("SELECT 1"))).scalar_one() == 1


async def test_a_cancelled_caller_gives_its_connection_back(database: Database) -> None:
    async def sleep() -> None:
        async with database.transaction() as tx:
            await tx.execute(text("SELECT pg_sleep(30)"))

    for _ in range(30):
        sleeping = asyncio.create_task(sleep())
        await asyncio.sleep(0.02)
        sleeping.cancel()
        with pytest.raises(asyncio.CancelledError):
            await sleeping
    async with database.connection() as tx:
        others = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND state = 'active'"
        assert (await tx.execute(text(others))).scalar_one() == 1
    assert database._engine.pool.checkedout() == 0  # type: ignore[attr-defined]


async def test_clear_errors() -> None:
    with pytest.raises(SettingsError):
        async with open_database("sqlite:///x"):
            pass
    with pytest.raises(UnavailableError) as caught:
        async with open_database("postgresql://u:geheim@127.0.0.1:9/none"):
            pass
    assert "geheim" not in caught.value.message
    assert "127.0.0.1" in caught.value.message


async def test_a_pool_of_psycopgs_gets_over_connections_that_the_server_closed(postgres_url: str) -> None:
    pool: AsyncConnectionPool[psycopg.AsyncConnection[Any]] = AsyncConnectionPool(
        postgres_url, min_size=2, check=check_alive, timeout=3, open=False
    )
    async with pool, await psycopg.AsyncConnection.connect(postgres_url, autocommit=True) as other:
        await pool.wait()
        others = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        await other.execute(f"SELECT pg_terminate_backend(pid) {others}".encode())
        await asyncio.sleep(0.2)
        async with pool.connection() as connection:
            assert (await (await connection.execute("SELECT 1")).fetchone()) == (1,)
