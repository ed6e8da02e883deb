"""What a sandbox's container is made of: its bounds, its folders in memory, what is mounted, and whose it is."""

from __future__ import annotations

import json
import os
import socket
import stat
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from shared.sandbox import docker_sweep
from shared.sandbox.cgroup import process_start
from shared.sandbox.inside.folders import walk
from shared.sandbox.limits import disk_usage
from shared.sandbox.port import SandboxSpec
from shared.sandbox.remote import WORKSPACE

GVISOR = "runsc"
COMMANDS, KEEPER, MAIN = "1000:1000", "1001:1000", "65534:65534"
_PREFIX = "persevere."
_OVERHEAD_MB = 96
_PROCESSORS = 2
_OWN_PROCESSES = 64
_GVISOR_PROCESSES = 2048
_CLOSED = ("/root",)
"""Folders of the image that commands may not go through: what lies below them on the host is put into one of ours."""


def build_host_options(spec: SandboxSpec, runtime: str, mounted: Sequence[Path]) -> dict[str, Any]:
    """The engine's HostConfig as docker-py takes it; `mounted` are those of the readable folders that are not copied."""
    sizes = _sizes(spec, mounted)
    return {
        **_bounds(spec, sizes, runtime),
        "runtime": runtime,
        "tmpfs": {path: f"rw,exec,nosuid,nodev,size={megabytes}m,{owner}" for path, (megabytes, owner) in sizes.items()},
        "mounts": [
            {"Type": "bind", "Source": str(path), "Target": str(path), "ReadOnly": True, "BindOptions": {"Propagation": "rprivate"}}
            for path in mounted
        ],
    }


def _bounds(spec: SandboxSpec, sizes: dict[str, tuple[int, str]], runtime: str) -> dict[str, Any]:
    """What the container may not do. Its memory has room for its folders, which are memory too; a command's own is watched inside."""
    limits = spec.limits
    memory = f"{limits.memory_mb + _OVERHEAD_MB + sum(size for size, _ in sizes.values())}m"
    own = _GVISOR_PROCESSES if runtime == GVISOR else _OWN_PROCESSES
    return {
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges"],
        "read_only": True,
        "network_mode": "none",
        "ipc_mode": "private",
        "log_config": {"Type": "none"},
        "pids_limit": limits.processes + own,
        "mem_limit": memory,
        "memswap_limit": memory,
        "cpu_period": 100_000,
        "cpu_quota": 100_000 * _PROCESSORS,
        "shm_size": "64m",
    }


def _sizes(spec: SandboxSpec, mounted: Sequence[Path]) -> dict[str, tuple[int, str]]:
    """The folders in memory: megabytes, and whose they are."""
    mine, other = "uid=1000,gid=1000,mode=755", "uid=1001,gid=1000,mode=755"
    room = spec.limits.disk_mb + 2
    found = {"/tmp": (spec.limits.disk_mb, "mode=1777"), str(WORKSPACE): (_megabytes(spec.workspace) + room, mine)}
    for folder in spec.readable:
        if folder not in mounted:
            found[str(folder)] = (_megabytes(folder) * 5 // 4 + 8, other)
    for folder in spec.writable:
        found[str(folder)] = (_megabytes(folder) + room, mine)
    for closed in _CLOSED:
        if any(folder.is_relative_to(closed) for folder in (*spec.readable, *spec.writable)):
            found.setdefault(closed, (1, "mode=755"))
    return found


def _megabytes(folder: Path) -> int:
    return disk_usage([folder]) * 9 // 8 // (1024 * 1024) + 1


def world_readable(folder: Path) -> bool:
    """Whether everything in a folder can be read by a user who is nobody here."""
    if folder.is_symlink() or not folder.is_dir() or folder.stat().st_mode & 0o5 != 0o5:
        return False
    for _, info in walk(str(folder)):
        wanted = 0o5 if stat.S_ISDIR(info.st_mode) else 0 if stat.S_ISLNK(info.st_mode) else 0o4
        if info.st_mode & wanted != wanted:
            return False
    return True


def build_labels(spec: SandboxSpec) -> dict[str, str]:
    """Whose the container is: the caller's labels, together and each by itself, and the process that opened it."""
    return {
        **{_PREFIX + name: value for name, value in spec.labels.items()},
        docker_sweep.LABELS: json.dumps(dict(spec.labels)),
        _PREFIX + "task": spec.task_id,
        _PREFIX + "process": f"{os.getpid()}-{process_start(os.getpid())}",
        _PREFIX + "host": socket.gethostname(),
        _PREFIX + "opened": str(int(time.time())),
    }
