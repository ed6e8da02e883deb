"""Who this process is, and whether another one on this machine is still there."""

from __future__ import annotations

import os
import socket
import uuid
from functools import lru_cache
from pathlib import Path


@lru_cache(maxsize=1)
def host_id() -> str:
    """The machine, its boot and this container's process ids: only together do they say what a process id means.

    Two machines may have one name, and two containers one name and one boot.
    """
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        space = os.readlink("/proc/self/ns/pid")
    except OSError:
        boot, space = f"{uuid.getnode():x}", ""
    return f"{socket.gethostname()}/{boot}/{space}"


def worker_id() -> str:
    """This process: its id and when it started, so that a reused id is told apart."""
    return f"{os.getpid()}-{started_at(os.getpid())}"


def started_at(pid: int) -> str:
    """Clock ticks since boot, or an empty string where that cannot be known or the process is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] in "ZX" else fields[19]


def is_gone(host: str | None, worker: str | None) -> bool:
    """True only when the owner is known to be dead: same machine and boot, and its process is gone or another one has its id."""
    if not host or not worker or host != host_id():
        return False
    pid, _, started = worker.partition("-")
    if not pid.isdigit():
        return False
    now = started_at(int(pid))
    if started or now:
        return now != started
    try:
        os.kill(int(pid), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        return False
    return False
