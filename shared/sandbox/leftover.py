"""What is left in a sandbox elsewhere whose owner died."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping
from pathlib import Path

from shared.sandbox import copying
from shared.sandbox.connection import Exchange
from shared.sandbox.inside.archive import Bounds
from shared.sandbox.machine import Machine
from shared.sandbox.remote import WORKSPACE, connect

_MOST_BYTES = 64 * 1024**3


class RemoteLeftover:
    """See `Leftover`. Its processes are ended before anything is read."""

    def __init__(self, labels: Mapping[str, str], machine: Machine, python: str) -> None:
        self.labels, self._machine, self._python = labels, machine, python

    async def fetch(self, folder: Path) -> None:
        await self._machine.resume()
        connection = await connect(self._machine, self._python, _refuse)
        try:
            await asyncio.to_thread(_clear, folder)
            copy = copying.Copy(folder, str(WORKSPACE))
            await copying.fetch(self._machine, connection, copy, Bounds(_MOST_BYTES, copying.MOST_ENTRIES))
        finally:
            await connection.aclose()


def _clear(folder: Path) -> None:
    for entry in folder.iterdir():
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


async def _refuse(exchange: Exchange) -> None:
    await exchange.stop()
