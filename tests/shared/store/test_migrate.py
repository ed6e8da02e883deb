"""Migrations: complete, repeatable, cheap when nothing is to do."""

from __future__ import annotations

import asyncio
import importlib.metadata
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from shared.errors import SettingsError, UnavailableError
from shared.store import migrate
from shared.store.tables import metadata


def _empty(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")


def test_constants_are_those_of_the_installed_libraries() -> None:
    from langgraph.checkpoint.postgres.base import MIGRATIONS

    assert importlib.metadata.version("procrastinate") == migrate.PROCRASTINATE
    assert len(MIGRATIONS) - 1 == migrate.CHECKPOINTS
    versions = Path(migrate.__file__).parent / "migrations" / "versions"
    assert max(path.name[:4] for path in versions.glob("0*.py")) == migrate.REVISION


def test_the_migrated_database_has_the_tables_of_the_code(postgres_url: str) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext
    from sqlalchemy import create_engine, pool

    engine = create_engine(postgres_url.replace("postgresql://", "postgresql+psycopg://"), poolclass=pool.NullPool)
    with engine.connect() as connection:
        context = MigrationContext.configure(
            connection, opts={"include_name": lambda name, kind, _: kind != "table" or name in metadata.tables}
        )
        assert compare_metadata(context, metadata) == []


async def test_processes_that_upgrade_at_once(postgres_url: str) -> None:
    _empty(postgres_url)
    await asyncio.gather(*(migrate.upgrade(postgres_url) for _ in range(4)))
    with psycopg.connect(postgres_url) as connection:
        for table in ("tasks", "procrastinate_jobs", "checkpoints", "schema_state"):
            assert connection.execute("SELECT to_regclass(%s) IS NOT NULL", (table,)).fetchone() == (True,), table


def test_nothing_to_do_imports_neither_alembic_nor_langgraph(postgres_url: str) -> None:
    script = (
        "import asyncio, sys; from shared.store.migrate import upgrade; asyncio.run(upgrade(sys.argv[1]));"
        "print([name for name in ('alembic', 'langgraph', 'procrastinate') if name in sys.modules])"
    )
    root = Path(migrate.__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", script, postgres_url], capture_output=True, text=True, check=True, cwd=root)
    assert done.stdout.strip() == "[]"


async def test_a_newer_database_is_refused(postgres_url: str) -> None:
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        connection.execute("UPDATE schema_state SET head = '9999'")
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(UnavailableError, match="newer version"):
        await migrate.upgrade(postgres_url)


async def test_wrong_addresses(postgres_url: str) -> None:
    with pytest.raises(SettingsError):
        await migrate.upgrade("mysql://localhost/x")
    with pytest.raises(UnavailableError) as caught:
        await migrate.upgrade("postgresql://u:geheim@127.0.0.1:9/none")
    assert "geheim" not in caught.value.message
