"""Removing what untrusted commands left: depths without end, folders nobody may read, links that lead elsewhere."""

from __future__ import annotations

import os
from pathlib import Path

from shared.forge.private import remove_tree


def test_everything_goes_and_nothing_else(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    kept.mkdir()
    (kept / "file").write_text("mine")
    folder = tmp_path / "folder"
    for path in ("a/b/c", "a/b2", ".removed-1"):
        (folder / path).mkdir(parents=True)
        (folder / path / "f").write_text("x")
    (folder / "a/out").symlink_to(kept)
    (folder / "out").symlink_to(kept)
    os.mkfifo(folder / "a/pipe")
    for path in ("a/b/c", "a/b", "a"):
        (folder / path).chmod(0o500 if path != "a/b" else 0)
    remove_tree(folder)
    assert not folder.exists()
    assert (kept / "file").read_text() == "mine"
    remove_tree(folder)


def test_depths_that_no_path_can_name(tmp_path: Path) -> None:
    folder = tmp_path / "deep"
    folder.mkdir()
    at = os.open(folder, os.O_RDONLY)
    for _ in range(2500):
        os.mkdir("d" * 200, dir_fd=at)
        inner = os.open("d" * 200, os.O_RDONLY, dir_fd=at)
        os.close(at)
        at = inner
    os.close(at)
    remove_tree(folder)
    assert not folder.exists()
