"""Bounds the git folders of our own that read repositories: each can be made again in a moment."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import suppress
from pathlib import Path

from shared.forge.private import remove_tree

KEPT = 100
"""Folders kept however long they rest."""
RESTS_S = 24 * 3600
"""A folder used within this time is never removed: no work of the forge takes so long."""
_TOUCHED_EVERY_S = 3600


def mark_used(reader: Path) -> None:
    """Note that the folder is in use; a note of the last hour is good enough."""
    sign = reader / "info" / "attributes"
    with suppress(OSError):
        if time.time() - sign.stat().st_mtime > _TOUCHED_EVERY_S:
            os.utime(sign)


def prune(readers: Path, *, kept: int = KEPT, rests_s: float = RESTS_S) -> None:
    """Remove what has rested longest, down to `kept` folders. One process at a time; another that prunes already is enough."""
    with (readers / "prune.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return
        folders = sorted(((_last_used(path), path) for path in readers.iterdir() if path.is_dir()), reverse=True)
        for last_used, path in folders[kept:]:
            if time.time() - last_used > rests_s and time.time() - _last_used(path) > rests_s:
                aside = path.with_name(f"{path.name}.gone.{os.getpid()}")
                with suppress(OSError):
                    path.rename(aside)
                    remove_tree(aside)


def _last_used(path: Path) -> float:
    for sign in (path / "info" / "attributes", path):
        with suppress(OSError):
            return sign.stat().st_mtime
    return time.time()
