"""Who this process is, and whether another one on this machine is still there."""

from __future__ import annotations

import os
import socket
from functools import lru_cache
from pathlib import Path


@lru_cache(maxsize=1)
def host_id() -> str:
    """The machine and its boot: a process id means something only together with both."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        boot = ""
    return f"{socket.gethostname()}/{boot}"


def worker_id() -> str:
    """This process: its id and when it started, so that a reused id is told apart."""
    return f"{os.getpid()}-{started_at(os.getpid())}"


def started_at(pid: int) -> str:
    """Clock ticks since boot, or an empty string where that cannot be known or the process is gone."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return ""
    return "" if fields[0] == "Z" else fields[19]


def is_gone(host: str | None, worker: str | None) -> bool:
    """True only when the owner is known to be dead: same machine, and its process (or the whole boot) is gone."""
    if not host or not worker or host.split("/")[0] != socket.gethostname():
        return False
    if host != host_id():
        return True
    pid, _, started = worker.partition("-")
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
