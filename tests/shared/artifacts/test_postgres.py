"""Artifacts: kept by their hash, never answered damaged, readable from any machine."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import text

from shared.artifacts.postgres import PostgresArtifacts
from shared.errors import NotFoundError, UnavailableError
from shared.store import artifacts_rows, tasks
from shared.store.database import Database
from shared.store.records import Artifact, Task
from shared.types import sha256_hex


@pytest.fixture
async def task_id(database: Database) -> str:
    async with database.transaction() as tx:
        await tasks.insert(tx, Task(id="task_1", user_id="ann", title="t", prompt="p", repo="/r"))
    return "task_1"


async def test_saved_listed_loaded_and_replaced(database: Database, tmp_path: Path, task_id: str) -> None:
    artifacts = PostgresArtifacts(tmp_path)
    async with database.transaction() as tx:
        first = await artifacts.save(tx, task_id, "change.patch", b"one\x00", "text/x-diff")
        same = await artifacts.save(tx, task_id, "copy/../../weird name", b"one\x00")
        assert first.sha256 == same.sha256
        assert await artifacts.load(tx, task_id, "change.patch") == b"one\x00"
        await artifacts.save(tx, task_id, "change.patch", b"two")
        assert await artifacts.load(tx, task_id, "change.patch") == b"two"
        assert [one.name for one in await artifacts.list_(tx, task_id)] == ["change.patch", "copy/../../weird name"]
        with pytest.raises(NotFoundError):
            await artifacts.load(tx, task_id, "other")
        assert (await tx.execute(text("SELECT count(*) FROM artifact_bytes"))).scalar_one() == 2


async def test_another_machine_reads_it(database: Database, tmp_path: Path, task_id: str) -> None:
    async with database.transaction() as tx:
        await PostgresArtifacts(tmp_path / "here").save(tx, task_id, "change.patch", b"patch")
    async with database.connection() as tx:
        assert await PostgresArtifacts(tmp_path / "there").load(tx, task_id, "change.patch") == b"patch"


async def test_bytes_of_a_transaction_that_is_rolled_back_are_not_kept(database: Database, tmp_path: Path, task_id: str) -> None:
    async with database.transaction() as tx:
        await PostgresArtifacts(tmp_path).save(tx, task_id, "a", b"data")
        await tx.rollback()
    async with database.connection() as tx:
        assert (await tx.execute(text("SELECT count(*) FROM artifact_bytes"))).scalar_one() == 0


async def test_damaged_or_missing_bytes_are_not_answered(database: Database, tmp_path: Path, task_id: str) -> None:
    artifacts = PostgresArtifacts(tmp_path)
    async with database.transaction() as tx:
        await artifacts.save(tx, task_id, "a", b"data")
        await tx.execute(text("UPDATE artifact_bytes SET data = 'date'::bytea"))
        with pytest.raises(UnavailableError):
            await artifacts.load(tx, task_id, "a")
        await tx.execute(text("DELETE FROM artifact_bytes"))
        with pytest.raises(UnavailableError):
            await artifacts.load(tx, task_id, "a")


async def test_files_of_an_earlier_version_are_still_read(database: Database, tmp_path: Path, task_id: str) -> None:
    digest = sha256_hex(b"old")
    path = tmp_path / "artifacts" / digest[:2] / digest
    path.parent.mkdir(parents=True)
    path.write_bytes(b"old")
    async with database.transaction() as tx:
        await artifacts_rows.save(tx, Artifact(task_id=task_id, name="a", media_type="text/plain", size=3, sha256=digest))
        assert await PostgresArtifacts(tmp_path).load(tx, task_id, "a") == b"old"
