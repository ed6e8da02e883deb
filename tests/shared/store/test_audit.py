"""The audit chain: every change is found, and the table refuses it in the first place."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from shared.store import audit
from shared.store.database import Database


async def _append(database: Database, number: int) -> None:
    async with database.transaction() as tx:
        await audit.append(
            tx, actor="ann", action="decide", task_id="task_1", subject=f"s{number}", data={"n": number, "f": 1e20, "z": "é\x00"}
        )


async def test_concurrent_entries_chain(database: Database) -> None:
    await asyncio.gather(*(_append(database, n) for n in range(12)))
    async with database.connection() as tx:
        assert await audit.verify(tx) == audit.AuditReport(entries=12, ok=True)
        assert [entry.seq for entry in await audit.for_task(tx, "task_1")] == list(range(1, 13))
        last = await audit.last(tx)
        assert last is not None
        assert last.seq == 12


@pytest.mark.parametrize("statement", ["UPDATE audit_log SET actor = 'eve'", "DELETE FROM audit_log", "TRUNCATE audit_log"])
async def test_the_table_refuses_changes(database: Database, postgres_url: str, statement: str) -> None:
    await _append(database, 1)
    with psycopg.connect(postgres_url) as connection, pytest.raises(psycopg.errors.IntegrityConstraintViolation):
        connection.execute(statement.encode())


@pytest.mark.parametrize(
    "column", ["actor = 'eve'", "data = '{\"n\": 9}'", "at = at + interval '1 microsecond'", "hash = repeat('a', 64)", "previous_hash = ''"]
)
async def test_a_changed_entry_is_found(database: Database, postgres_url: str, column: str) -> None:
    for number in range(3):
        await _append(database, number)
    _tamper(postgres_url, f"UPDATE audit_log SET {column} WHERE seq = 2")
    async with database.connection() as tx:
        assert await audit.verify(tx) == audit.AuditReport(entries=1, ok=False, first_bad_seq=2)


async def test_a_removed_entry_is_found(database: Database, postgres_url: str) -> None:
    for number in range(3):
        await _append(database, number)
    _tamper(postgres_url, "DELETE FROM audit_log WHERE seq = 2")
    async with database.connection() as tx:
        assert await audit.verify(tx) == audit.AuditReport(entries=1, ok=False, first_bad_seq=3)


def _tamper(url: str, statement: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("ALTER TABLE audit_log DISABLE TRIGGER USER")
        connection.execute(statement.encode())
