"""Control groups, version 1 or 2: the one limit on processes and memory that binds root, and a way to end a whole tree."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from shared.sandbox.port import Limits

FOLDER = "persevere"
_counter = itertools.count(1)


def process_start(pid: int) -> str | None:
    """The kernel's start time of a process in clock ticks, or None when there is none: a pid alone may be another's by now."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return None if fields[0] == "Z" else fields[19]


@dataclass(frozen=True)
class Hierarchy:
    """Where groups can be made: `folders` are parents, one for each controller in version 1, a single one in version 2."""

    version: int
    folders: dict[str, Path]

    def open(self, limits: Limits, extra_processes: int = 0) -> ControlGroup:
        """A new group with its limits set; `extra_processes` are our own helpers living in it. OSError when it cannot be made."""
        name = f"{os.getpid()}-{process_start(os.getpid())}-{next(_counter)}"
        group = ControlGroup(self.version, {key: folder / name for key, folder in self.folders.items()})
        try:
            group.create(limits, extra_processes)
        except OSError:
            group.remove()
            raise
        return group

    def sweep(self) -> int:
        """Kill and remove the groups whose owner is dead; the number of groups removed."""
        removed = set()
        for folder in self.folders.values():
            for path in folder.iterdir():
                pid, _, rest = path.name.partition("-")
                if path.is_dir() and pid.isdigit() and process_start(int(pid)) != rest.partition("-")[0]:
                    group = ControlGroup(self.version, {key: parent / path.name for key, parent in self.folders.items()})
                    group.kill_until_empty(5.0)
                    group.remove()
                    removed.add(path.name)
        return len(removed)


@dataclass(frozen=True)
class ControlGroup:
    """One command's group. Everything forked in it stays in it, whatever sessions or parents it changes."""

    version: int
    paths: dict[str, Path]

    @property
    def join_files(self) -> list[str]:
        """Files a process writes `0` to in order to enter."""
        return [str(path / "cgroup.procs") for path in self.paths.values()]

    def create(self, limits: Limits, extra_processes: int) -> None:
        for path in self.paths.values():
            path.mkdir()
        memory = str(limits.memory_mb * 1024 * 1024)
        processes = str(limits.processes + extra_processes)
        if self.version == 1:
            (self.paths["pids"] / "pids.max").write_text(processes)
            (self.paths["memory"] / "memory.limit_in_bytes").write_text(memory)
            with contextlib.suppress(OSError):
                (self.paths["memory"] / "memory.memsw.limit_in_bytes").write_text(memory)
            return
        path = self.paths["unified"]
        (path / "pids.max").write_text(processes)
        (path / "memory.max").write_text(memory)
        for name, value in (("memory.swap.max", "0"), ("memory.oom.group", "1")):
            with contextlib.suppress(OSError):
                (path / name).write_text(value)

    def oom_kills(self) -> int:
        """How many processes the kernel killed here for lack of memory."""
        path = self.paths["memory"] / "memory.oom_control" if self.version == 1 else self.paths["unified"] / "memory.events"
        with contextlib.suppress(OSError):
            for line in path.read_text().splitlines():
                name, _, value = line.partition(" ")
                if name == "oom_kill":
                    return int(value)
        return 0

    def pids(self) -> set[int]:
        found: set[int] = set()
        for path in self.paths.values():
            with contextlib.suppress(OSError):
                found.update(int(line) for line in (path / "cgroup.procs").read_text().split())
        return found - {0}

    def kill(self) -> bool:
        """One round of killing; True when nothing is left. New forks are refused first, so that a fork bomb cannot outrun us."""
        pids_max = self.paths.get("pids", self.paths.get("unified", Path())) / "pids.max"
        with contextlib.suppress(OSError):
            pids_max.write_text("0")
        if self.version == 2:
            with contextlib.suppress(OSError):
                (self.paths["unified"] / "cgroup.kill").write_text("1")
        pids = self.pids()
        for pid in pids:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(pid, signal.SIGKILL)
        return not pids

    def kill_until_empty(self, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while not self.kill():
            if time.monotonic() > end:
                return False
            time.sleep(0.002)
        return True

    async def kill_and_wait(self, seconds: float) -> bool:
        """Kill until the group is empty; False when it is not after `seconds` (a process stuck in the kernel)."""
        end = time.monotonic() + seconds
        while not self.kill():
            if time.monotonic() > end:
                return False
            await asyncio.sleep(0.002)
        return True

    def remove(self) -> None:
        for path in self.paths.values():
            for _ in range(50):
                try:
                    path.rmdir()
                except FileNotFoundError:
                    break
                except OSError:
                    time.sleep(0.002)
                else:
                    break


def find_hierarchy() -> Hierarchy | None:
    """Where groups with both limits can be made here, found out by making one; None when nowhere."""
    for candidate in _candidates():
        try:
            for folder in candidate.folders.values():
                folder.mkdir(exist_ok=True)
            if candidate.version == 2:
                (candidate.folders["unified"] / "cgroup.subtree_control").write_text("+memory +pids")
            candidate.open(Limits()).remove()
        except OSError:
            continue
        return candidate
    return None


def _candidates() -> Iterator[Hierarchy]:
    mounts = _mounts()
    own = _own_paths()
    if "memory" in mounts and "pids" in mounts:
        yield Hierarchy(1, {name: mounts[name] / FOLDER for name in ("memory", "pids")})
        yield Hierarchy(1, {name: mounts[name] / own.get(name, "") / FOLDER for name in ("memory", "pids")})
    elif "unified" in mounts:
        root, mine = mounts["unified"], mounts["unified"] / own.get("", "")
        for parent in dict.fromkeys([root, mine.parent, mine]):
            if parent.is_relative_to(root):
                with contextlib.suppress(OSError):
                    (parent / "cgroup.subtree_control").write_text("+memory +pids")
                yield Hierarchy(2, {"unified": parent / FOLDER})


def _mounts() -> dict[str, Path]:
    """Mount points by version 1 controller, and `unified` for version 2."""
    found: dict[str, Path] = {}
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, point, kind, options, *_ = line.split()
        if kind == "cgroup":
            found.update({name: Path(point) for name in options.split(",") if name in ("memory", "pids")})
        elif kind == "cgroup2":
            found["unified"] = Path(point)
    return found


def _own_paths() -> dict[str, str]:
    """Our own group by controller, relative to its mount; the key of version 2 is empty."""
    found: dict[str, str] = {}
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        _, names, path = line.split(":", 2)
        found.update(dict.fromkeys(names.split(","), path.lstrip("/")))
    return found
