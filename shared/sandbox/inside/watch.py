"""Whether the commands inside keep to their bounds, looked at while they run."""

from __future__ import annotations

import contextlib
import os
import time
from pathlib import Path
from typing import Any

from shared.sandbox.inside import processes
from shared.sandbox.inside.operations import Operation
from shared.sandbox.limits import disk_usage

_PAGE = os.sysconf("SC_PAGE_SIZE")
_EVERY_S = 0.1
_TIME_TO_TIDY_S = 0.3
_STAT = ("/sys/fs/cgroup/memory.stat", "/sys/fs/cgroup/memory/memory.stat")
_EVENTS = ("/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control")


class Watch:
    """`limit` says the bounds: memory in bytes, processes of one command, folders and the bytes by which they may grow."""

    def __init__(self) -> None:
        self._memory = self._processes = self._disk = 0
        self._folders: list[str] = []
        self._baseline = 0
        self._next = self._next_disk = 0.0
        self._ooms: dict[int, int] = {}
        self._usage: dict[int, int] = {}

    def limit(self, spec: dict[str, Any]) -> int:
        """Set the bounds; the bytes from which growth is counted, `spec["baseline"]` or what there is now."""
        self._memory, self._processes, self._disk, self._folders = spec["memory"], spec["processes"], spec["disk"], spec["folders"]
        self._baseline = self._used() if spec.get("baseline") is None else spec["baseline"]
        return self._baseline

    def look(self, now: float, commands: list[Operation]) -> None:
        """Stop what has gone too far."""
        for operation in commands:
            self._ooms.setdefault(operation.number, _ooms())
        if not commands or not self._memory or now < self._next:
            return
        self._next = now + _EVERY_S
        seen = processes.scan()
        usage: dict[int, int] = {}
        for operation in commands:
            tree = processes.below(operation.pid, seen)
            usage[operation.number] = sum(seen[pid][1] for pid in tree) * _PAGE
            if len(tree) > self._processes:
                operation.stop("memory", now, self._too_many())
        self._usage = usage
        total = _anonymous()
        if (sum(usage.values()) if total is None else total) > self._memory:
            self._largest(commands).stop("memory", now)
        self._look_at_disk(now, commands)

    def verdict(self, operation: Operation) -> dict[str, Any]:
        """What its end tells beyond the exit code."""
        before = self._ooms.pop(operation.number, None)
        result = operation.result
        if not operation.command or operation.stopped is not None or operation.stopped_at or not self._memory:
            return {}
        if result.get("processes", 0) > self._processes:
            return {"stopped": "memory", "note": self._too_many()}
        if before is not None and _ooms() > before and result.get("exit") != 0:
            return {"stopped": "memory"}
        if result.get("exit") != 0 and self._used() - self._baseline >= self._disk:
            return {"stopped": "disk"}
        return {}

    def _look_at_disk(self, now: float, commands: list[Operation]) -> None:
        if now < self._next_disk:
            return
        if self._used() - self._baseline >= self._disk:
            for operation in commands:
                if now - operation.started_at > _TIME_TO_TIDY_S:
                    operation.stop("disk", now)
        self._next_disk = now + max(_EVERY_S, 10 * (time.monotonic() - now))

    def _used(self) -> int:
        """Bytes in the folders: asked of the file system where a folder is one of its own."""
        total = 0
        for folder in self._folders:
            with contextlib.suppress(OSError):
                if os.path.ismount(folder):
                    info = os.statvfs(folder)
                    if info.f_blocks > info.f_bfree:
                        total += (info.f_blocks - info.f_bfree) * info.f_frsize
                        continue
            total += disk_usage([Path(folder)])
        return total

    def _largest(self, commands: list[Operation]) -> Operation:
        return max(commands, key=lambda operation: self._usage.get(operation.number, 0))

    def _too_many(self) -> str:
        return f"\nStopped: more than {self._processes} processes.\n"


def _anonymous() -> int | None:
    """Memory that is no file's, of everything inside; None where the control group cannot be seen."""
    for path in _STAT:
        with contextlib.suppress(OSError, ValueError, IndexError), open(path) as file:
            lines = dict(line.split() for line in file)
            return int(lines["anon"] if "anon" in lines else lines["rss"])
    return None


def _ooms() -> int:
    """How many processes the kernel killed here for lack of memory."""
    for path in _EVENTS:
        with contextlib.suppress(OSError, ValueError), open(path) as file:
            for line in file:
                name, _, value = line.partition(" ")
                if name == "oom_kill":
                    return int(value)
    return 0
