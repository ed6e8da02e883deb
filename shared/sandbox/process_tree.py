"""Process trees as /proc shows them: the fallback where no control group can be made."""

from __future__ import annotations

import os
from pathlib import Path

_PAGE = os.sysconf("SC_PAGE_SIZE")


def tree_usage(root: int) -> tuple[int, int]:
    """How many processes descend from `root`, itself included, and the bytes of memory they hold resident together."""
    inside = _tree(root)
    return len(inside), sum(inside.values())


def descendants(root: int) -> set[int]:
    """The processes that descend from `root`, itself included."""
    return set(_tree(root))


def _tree(root: int) -> dict[int, int]:
    """Resident bytes by process."""
    parents: dict[int, int] = {}
    resident: dict[int, int] = {}
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            try:
                fields = Path(entry.path, "stat").read_text(errors="replace").rpartition(")")[2].split()
            except OSError:
                continue
            parents[int(entry.name)] = int(fields[1])
            resident[int(entry.name)] = int(fields[21]) * _PAGE
    inside = {root} & parents.keys()
    grew = True
    while grew:
        found = {pid for pid, parent in parents.items() if parent in inside and pid not in inside}
        inside |= found
        grew = bool(found)
    return {pid: resident[pid] for pid in inside}
