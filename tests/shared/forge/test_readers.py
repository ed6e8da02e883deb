"""The number of git folders of our own stays bounded."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from shared.forge.readers import mark_used, prune

DAY = 24 * 3600


def make(root: Path, name: str, days: float) -> Path:
    sign = root / name / "info" / "attributes"
    sign.parent.mkdir(parents=True)
    sign.write_text("")
    os.utime(sign, (time.time() - days * DAY,) * 2)
    return root / name


def test_the_longest_unused_go(tmp_path: Path) -> None:
    for name, days in (("a", 3), ("b", 40), ("c", 0.5), ("d", 9), ("e", 0.1)):
        make(tmp_path, name, days)
    mark_used(tmp_path / "b")
    prune(tmp_path, kept=3)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["b", "c", "e"]
    prune(tmp_path, kept=0)
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_dir()) == ["b", "c", "e"]


def test_one_process_prunes_at_a_time(tmp_path: Path) -> None:
    make(tmp_path, "old", 40)
    with (tmp_path / "prune.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        prune(tmp_path, kept=0)
    assert (tmp_path / "old").is_dir()
