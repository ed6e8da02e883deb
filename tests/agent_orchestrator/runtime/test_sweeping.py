"""What a killed worker left in a sandbox elsewhere: whose it is, and what is kept of it."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from agent_orchestrator.resources import Resources
from agent_orchestrator.runtime.context import labels_of, pin_base
from agent_orchestrator.runtime.lease import Lease
from agent_orchestrator.runtime.sweeping import TaskKeeper
from shared.errors import NotFoundError
from shared.store import runs
from shared.store.records import Run, Task
from tests.agent_orchestrator.conftest import git
from tests.agent_orchestrator.runtime.driving import submit


class FolderLeftover:
    """A left workspace whose files lie in a folder."""

    def __init__(self, files: Path, labels: Mapping[str, str]) -> None:
        self._files, self.labels = files, labels

    async def fetch(self, folder: Path) -> None:
        shutil.rmtree(folder)
        shutil.copytree(self._files, folder, symlinks=True)


async def _claimed(resources: Resources, repository: Path) -> tuple[Task, Run, Lease]:
    task = await submit(resources, repository)
    async with resources.database.transaction() as tx:
        run = await runs.claim(tx, task.id, "1-1", 1, "elsewhere")
    lease = Lease(resources.database, task.id, run.epoch, run.thread_id)
    return await pin_base(resources, lease, task), run, lease


async def test_a_sandbox_belongs_to_the_run_that_goes_on(resources: Resources, repository: Path) -> None:
    task, _, lease = await _claimed(resources, repository)
    keeper, labels = TaskKeeper(resources), labels_of(task, lease)
    assert await keeper.owns(labels)
    assert await keeper.owns({"task": "task_of_another_database", "epoch": "1"})
    async with resources.database.transaction() as tx:
        await runs.claim(tx, task.id, "2-2", 2, "elsewhere")
    assert not await keeper.owns(labels)
    assert not await keeper.owns({"task": task.id})


async def test_it_is_nobodys_once_the_run_let_go(resources: Resources, repository: Path) -> None:
    task, _, lease = await _claimed(resources, repository)
    async with lease.transaction() as tx:
        await lease.let_go(tx, "idle")
    assert not await TaskKeeper(resources).owns(labels_of(task, lease))


async def test_the_change_under_way_is_kept(resources: Resources, repository: Path, tmp_path: Path) -> None:
    task, run, lease = await _claimed(resources, repository)
    left = tmp_path / "left"
    git(tmp_path, "clone", "-q", str(repository), str(left))
    shutil.rmtree(left / ".git")
    (left / "app.py").write_text((left / "app.py").read_text().replace("load_conf", "load_config"))
    (left / "out").symlink_to("/etc/passwd")
    labels = labels_of(task, lease)
    await TaskKeeper(resources).rescue(FolderLeftover(left, {**labels, "workspace": "test"}))
    async with resources.database.connection() as connection:
        with pytest.raises(NotFoundError):
            await resources.artifacts.load(connection, task.id, f"rescued-{run.epoch}.patch")
    await TaskKeeper(resources).rescue(FolderLeftover(left, {**labels, "workspace": "code"}))
    async with resources.database.connection() as connection:
        patch = await resources.artifacts.load(connection, task.id, f"rescued-{run.epoch}.patch")
    assert b"+def load_config(path)" in patch
    assert b"+/etc/passwd" in patch
    assert b"root:" not in patch
    assert not list((resources.settings.data_dir / "workspaces").glob("rescue-*"))
