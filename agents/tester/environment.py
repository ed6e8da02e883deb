"""Cached environments outside the repository: built once per set of requirements, read-only for the tests."""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import shutil
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from pathlib import Path

from agents.tester.install import InstallError, InstallFailures, check_installed, closing_lines
from agents.tester.values import NodeNeeds, PythonNeeds
from shared.sandbox.port import Command, Sandbox, System
from shared.types import canonical_json, sha256_hex

SCRATCH = ".persevere"
"""A folder of the disposable workspace for our own files: reports, requirement lists, the overlay."""
_FORMAT = 2

OpenSandbox = Callable[[Path], AbstractAsyncContextManager[Sandbox]]
Log = Callable[[str], Awaitable[None]]


KEPT = 30
"""Environments kept however long they rest."""
RESTS_S = 24 * 3600
"""An environment asked for within this time is never removed."""


class TesterEnvironments:
    """Environments by the hash of what is in them, below `root`. Any number of processes may ask for the same one.

    They are made in sandboxes with the programs of `system`, and serve in those alone.
    """

    __test__ = False

    def __init__(self, root: Path, system: System) -> None:
        self._root, self._system = root, system
        self.failures = InstallFailures(root)

    async def python(self, needs: PythonNeeds, open_sandbox: OpenSandbox, timeout_s: float, log: Log) -> Path:
        """The folder of a virtual environment with everything `needs` names. Raises `InstallError`."""
        key = python_key(needs, self._system)

        async def build(sandbox: Sandbox, folder: Path) -> None:
            await log("installing the test environment: " + (", ".join(needs.requirements) or "locked requirements")[:300])
            await _build_python(sandbox, folder, needs, timeout_s, log)

        return await self._cached(key, open_sandbox, build, timeout_s)

    async def node(self, needs: NodeNeeds, open_sandbox: OpenSandbox, timeout_s: float, log: Log) -> Path:
        """A folder whose `node_modules` has the packages of one package.json. Raises `InstallError`."""

        async def build(sandbox: Sandbox, folder: Path) -> None:
            await log(f"installing the packages of {needs.cwd}/package.json")
            where = f'cd "$0" && exec {" ".join(needs.argv)}'
            command = Command(["/bin/sh", "-c", where, str(folder)], timeout_s=timeout_s, registries=True, environment={"CI": "1"})
            check_installed(await sandbox.run(command), needs.argv[0])

        return await self._cached(node_key(needs, self._system), open_sandbox, build, timeout_s, needs.files)

    async def _cached(
        self,
        key: str,
        open_sandbox: OpenSandbox,
        build: Callable[[Sandbox, Path], Awaitable[None]],
        timeout_s: float,
        files: Mapping[str, str] | None = None,
    ) -> Path:
        """The folder is built in place, since environments hold their own path; only the marker beside it makes it count."""
        home = self._root / key
        marker, folder = home / "complete", home / "content"
        if marker.exists():
            with contextlib.suppress(OSError):
                os.utime(marker)
            if marker.exists():
                return folder
        self.failures.check(key, timeout_s)
        self._root.mkdir(parents=True, exist_ok=True, mode=0o755)
        async with _locked(self._root / f"{key}.lock"):
            if marker.exists():
                return folder
            self.failures.check(key, timeout_s)
            await asyncio.to_thread(shutil.rmtree, home, ignore_errors=True)
            folder.mkdir(parents=True)
            for name, text in (files or {}).items():
                (folder / name).write_text(text)
            began = self.failures.now()
            try:
                async with open_sandbox(folder) as sandbox:
                    await build(sandbox, folder)
                    await sandbox.collect()
            except BaseException as exc:
                if isinstance(exc, InstallError):
                    self.failures.note(key, timeout_s, began, str(exc))
                await asyncio.shield(asyncio.to_thread(shutil.rmtree, home, ignore_errors=True))
                raise
            marker.write_text("complete\n")
        await asyncio.to_thread(prune, self._root)
        return folder


async def _build_python(sandbox: Sandbox, folder: Path, needs: PythonNeeds, timeout_s: float, log: Log) -> None:
    """`-I` keeps the repository's own modules from shadowing venv and pip."""
    made = await sandbox.run(Command([sandbox.system.python, "-I", "-m", "venv", str(folder)], timeout_s=timeout_s))
    if not made.ok:
        raise InstallError("a virtual environment could not be made: " + closing_lines(made))
    pip = [str(folder / "bin" / "python"), "-I", "-m", "pip", "install", "--no-input", "--progress-bar=off"]
    lists = {"locked": needs.locked, "requirements": needs.requirements + (_backend(needs) if needs.editable else [])}
    for name, lines in lists.items():
        if lines:
            path = f"{SCRATCH}/{name}.txt"
            await sandbox.write(path, ("\n".join(lines) + "\n").encode())
            command = Command([*pip, "-r", str(sandbox.root / path)], cwd=SCRATCH, timeout_s=timeout_s, registries=True)
            ran = await sandbox.run(command)
            if name == "locked" or "ResolutionImpossible" not in ran.stderr:
                check_installed(ran, "pip")
                continue
            await log("requirements contradict each other, so they are installed one by one: " + closing_lines(ran)[:400])
            for line in lines:
                command = Command([*pip, line], cwd=SCRATCH, timeout_s=timeout_s, registries=True)
                check_installed(await sandbox.run(command), "pip")


def _backend(needs: PythonNeeds) -> list[str]:
    return [*needs.backend, *(["editables"] if any("hatch" in line for line in needs.backend) else [])]


def python_key(needs: PythonNeeds, system: System) -> str:
    """The name of the environment for these needs with the system's interpreter."""
    return _key("python", system.identity, needs.requirements, needs.locked, needs.backend if needs.editable else [])


def node_key(needs: NodeNeeds, system: System) -> str:
    """The name of the environment for these packages in such a system."""
    return _key("node", needs.argv, needs.files, system.identity)


def _key(*parts: object) -> str:
    return sha256_hex(canonical_json([_FORMAT, *parts]))[:32]


def prune(root: Path, *, kept: int = KEPT, rests_s: float = RESTS_S) -> None:
    """Remove what has rested longest, down to `kept` environments; one that is being built or used is left."""
    homes = sorted(((_last_asked(home), home) for home in root.iterdir() if home.is_dir()), reverse=True)
    for _, home in homes[kept:]:
        with (root / f"{home.name}.lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            if time.time() - _last_asked(home) > rests_s:
                (home / "complete").unlink(missing_ok=True)
                shutil.rmtree(home, ignore_errors=True)


def _last_asked(home: Path) -> float:
    for sign in (home / "complete", home):
        with contextlib.suppress(OSError):
            return sign.stat().st_mtime
    return time.time()


@contextlib.asynccontextmanager
async def in_use(environment: str) -> AsyncIterator[None]:
    """While tests run in an environment of `TesterEnvironments`, nobody removes it."""
    home = Path(environment).parent
    async with _locked(home.with_name(f"{home.name}.lock"), fcntl.LOCK_SH):
        yield


@contextlib.asynccontextmanager
async def _locked(path: Path, kind: int = fcntl.LOCK_EX) -> AsyncIterator[None]:
    """One process at a time, or all that share; the kernel frees the lock of a process that was killed."""
    with path.open("w") as file:
        while True:
            try:
                fcntl.flock(file, kind | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(0.2)
        yield
