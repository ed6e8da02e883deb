"""Artifacts: kept by their hash, never answered damaged."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared.artifacts.files import FileArtifacts
from shared.errors import NotFoundError, UnavailableError
from shared.store import tasks
from shared.store.database import Database
from shared.store.records import Task


@pytest.fixture
async def task_id(database: Database) -> str:
    async with database.transaction() as tx:
        await tasks.insert(tx, Task(id="task_1", user_id="ann", title="t", prompt="p", repo="/r"))
    return "task_1"


async def test_saved_listed_loaded_and_replaced(database: Database, tmp_path: Path, task_id: str) -> None:
    artifacts = FileArtifacts(tmp_path)
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
    files = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(files) == 2
    assert all(path.stat().st_mode & 0o077 == 0 for path in files)


async def test_a_damaged_file_is_not_answered_and_is_repaired_by_saving(database: Database, tmp_path: Path, task_id: str) -> None:
    artifacts = FileArtifacts(tmp_path)
    async with database.transaction() as tx:
        saved = await artifacts.save(tx, task_id, "a", b"data")
        (tmp_path / "artifacts" / saved.sha256[:2] / saved.sha256).write_bytes(b"date")
        with pytest.raises(UnavailableError):
            await artifacts.load(tx, task_id, "a")
        await artifacts.save(tx, task_id, "a", b"data")
        assert await artifacts.load(tx, task_id, "a") == b"data"
