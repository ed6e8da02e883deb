"""Real workers as processes of their own, and a repository with a command that runs as long as a test wants."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from tests.agent_orchestrator.conftest import git

PROGRAM = [sys.executable, "-c", "from agent_orchestrator.cli import main; main()", "worker", "--json"]
ROOT = Path(__file__).resolve().parents[3]
WAITING = """import os, subprocess, time
from pathlib import Path

here = Path({folder!r})
child = subprocess.Popen(["sleep", "600"])
(here / f"{{os.getpid()}}.new").write_text(str(child.pid))
(here / f"{{os.getpid()}}.new").rename(here / f"{{os.getpid()}}.began")
while not (here / "go").exists():
    time.sleep(0.05)
child.kill()
child.wait()
"""
CONFIG = "commands:\n  migrate:\n    run: [{python}, waiting.py]\n"


class Gate:
    """A repository with a command that runs until `open()`; it notes who ran it, in files named by process id."""

    def __init__(self, folder: Path) -> None:
        self._notes = folder / "notes"
        self._notes.mkdir(parents=True)
        self.repo = folder / "repository"
        self.repo.mkdir()
        (self.repo / "waiting.py").write_text(WAITING.format(folder=str(self._notes)))
        (self.repo / ".persevere.yml").write_text(CONFIG.format(python=sys.executable))
        git(self.repo, "init", "-q", "-b", "main")
        git(self.repo, "add", "-A")
        git(self.repo, "commit", "-q", "-m", "start")

    def open(self) -> None:
        (self._notes / "go").touch()

    def processes(self) -> list[int]:
        """The processes of the command that ever began, each followed by its child."""
        began = sorted(self._notes.glob("*.began"), key=lambda path: path.stat().st_mtime)
        return [pid for path in began for pid in (int(path.stem), int(path.read_text()))]

    async def until_begun(self, times: int = 1, limit_s: float = 60) -> None:
        await until(lambda: len(self.processes()) >= 2 * times, limit_s)


async def until(done: Callable[[], object], limit_s: float = 60) -> float:
    """Wait until it is so; how many seconds it took."""
    began = time.monotonic()
    while not done():
        assert time.monotonic() - began < limit_s, "it did not come to that in time"
        await asyncio.sleep(0.02)
    return time.monotonic() - began


def alive(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    return False


class WorkerProcess:
    """`persevere worker --json`; what it printed is in `said`."""

    def __init__(self, process: asyncio.subprocess.Process, errors: Path) -> None:
        self.process, self._errors = process, errors
        self.said: list[dict[str, Any]] = []
        self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        assert self.process.stdout is not None
        async for line in self.process.stdout:
            self.said.append(json.loads(line))

    @property
    def errors(self) -> str:
        return self._errors.read_text()

    async def ready(self) -> None:
        await until(lambda: self.said or self.process.returncode is not None, 60)
        assert self.said, self.errors
        assert self.said[0]["type"] == "ready"

    def send(self, number: int) -> None:
        os.kill(self.process.pid, number)

    async def ended(self, limit_s: float = 60) -> int:
        """Its exit code."""
        async with asyncio.timeout(limit_s):
            code = await self.process.wait()
            await self._reading
        return code

    async def aclose(self) -> None:
        if self.process.returncode is None:
            self.send(signal.SIGCONT)
            self.send(signal.SIGKILL)
        await self.process.wait()
        await self._reading


Start = Callable[..., Any]


@asynccontextmanager
async def workers(url: str, folder: Path, **environment: str) -> AsyncIterator[Start]:
    """`await start(prefix=…, data=…)` starts a worker; all that are left at the end are killed."""
    started: list[WorkerProcess] = []

    async def start(
        *, prefix: Sequence[str] = (), data: str = "data", database_url: str = url, wait: bool = True, **more: str
    ) -> WorkerProcess:
        named = {f"PERSEVERE_{key.upper()}": value for key, value in {**environment, **more}.items()}
        known = {key: value for key, value in os.environ.items() if not key.startswith("PERSEVERE_")}
        (folder / data).mkdir(exist_ok=True)
        errors = folder / f"worker-{len(started)}.log"
        with errors.open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *prefix,
                *PROGRAM,
                cwd=ROOT,
                env={
                    **known,
                    "DATABASE_URL": database_url,
                    "PERSEVERE_DATA_DIR": str(folder / data),
                    "PERSEVERE_SANDBOX": "process",
                    **named,
                },
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        worker = WorkerProcess(process, errors)
        started.append(worker)
        if wait:
            await worker.ready()
        return worker

    try:
        yield start
    finally:
        for worker in started:
            await worker.aclose()


def elsewhere() -> list[str]:
    """Runs a program under another host name: for our workers, on another machine."""
    argv = ["unshare", "--uts", "sh", "-c", 'hostname elsewhere && exec "$@"', "sh"]
    unshare = shutil.which("unshare")
    if unshare is None or subprocess.run([*argv, "true"], capture_output=True, check=False).returncode:
        pytest.skip("needs root and unshare (Debian: util-linux), to run a worker under another host name")
    return argv


def record(url: str, task_id: str) -> dict[str, list[dict[str, Any]]]:
    """Everything that is kept of a task, row by row."""
    tables = {
        "tasks": "id",
        "runs": "task_id",
        "events": "task_id",
        "approvals": "task_id",
        "artifacts": "task_id",
        "effects": "task_id",
        "marks": "task_id",
        "audit_log": "task_id",
        "checkpoints": "thread_id",
        "checkpoint_writes": "thread_id",
        "checkpoint_blobs": "thread_id",
    }
    with psycopg.connect(url, row_factory=dict_row) as connection:
        return {
            table: sorted(connection.execute(f"SELECT * FROM {table} WHERE {key} = %s".encode(), (task_id,)).fetchall(), key=str)
            for table, key in tables.items()
        }


@contextmanager
def database_rows(url: str) -> Iterator[Callable[..., list[dict[str, Any]]]]:
    with psycopg.connect(url, row_factory=dict_row, autocommit=True) as connection:
        yield lambda query, *values: connection.execute(query.encode(), values).fetchall()
