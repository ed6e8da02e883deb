"""Finds the sandboxes that killed workers left behind, saves the change in them, and removes them."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from shared.errors import PersevereError
from shared.forge.private import remove_tree
from shared.sandbox.port import Leftover
from shared.store import runs, tasks

if TYPE_CHECKING:
    from agent_orchestrator.resources import Resources

FIRST_SWEEP_S = 10.0
SWEEP_EVERY_S = 60.0
CODER = "code"
"""The workspace a change is made in; the others hold nothing that cannot be made again."""
_logger = logging.getLogger(__name__)


async def sweep_regularly(resources: Resources) -> None:
    """Soon after the start and then every minute, until cancelled. Every worker does it."""
    keeper = TaskKeeper(resources)
    await asyncio.sleep(FIRST_SWEEP_S)
    while True:
        try:
            provider = await resources.sandbox()
            if removed := await provider.sweep(keeper):
                _logger.warning("%d things that killed workers left in %s were removed", removed, provider.name)
        except PersevereError as exc:
            _logger.info("sweeping: %s", exc.message)
        except Exception as exc:
            _logger.warning("sweeping: %s", type(exc).__name__)
        await asyncio.sleep(SWEEP_EVERY_S)


class TaskKeeper:
    """Implements `shared.sandbox.port.Keeper`: a sandbox belongs to the run that opened it, for as long as that run goes on."""

    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    async def owns(self, labels: Mapping[str, str]) -> bool:
        """A task this database does not know is somebody else's, and not ours to remove."""
        async with self._resources.database.connection() as connection:
            run = await runs.get(connection, labels.get("task", ""))
        return run is None or (str(run.epoch) == labels.get("epoch") and run.state == "running")

    async def rescue(self, leftover: Leftover) -> None:
        """The change that was under way becomes an artifact of its task: `rescued-EPOCH.patch`."""
        labels = leftover.labels
        async with self._resources.database.connection() as connection:
            task = await tasks.get(connection, labels.get("task", ""))
        if task is None or task.base_commit is None or labels.get("workspace") != CODER:
            return
        folder = Path(tempfile.mkdtemp(prefix="rescue-", dir=self._resources.settings.data_dir / "workspaces"))
        try:
            checkout = await self._resources.forge.checkout(task.repo, task.base_commit, b"", folder / "tree", folder / "git")
            await leftover.fetch(checkout.folder)
            diff = await self._resources.forge.diff(checkout)
            if not diff.is_empty:
                async with self._resources.database.transaction() as tx:
                    await self._resources.artifacts.save(tx, task.id, f"rescued-{labels['epoch']}.patch", diff.patch, "text/x-diff")
        finally:
            with contextlib.suppress(OSError):
                await asyncio.to_thread(remove_tree, folder)
