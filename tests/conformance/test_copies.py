"""Folders of this machine as a sandbox sees them, and what comes back: the same whether they are the same folders or copies."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from pathlib import Path

from shared.sandbox.port import SandboxProvider, SandboxSpec
from tests.conformance.conftest import LIMITS
from tests.conformance.test_sandbox import shell


async def test_bytes_of_every_kind_go_both_ways(provider: SandboxProvider, workspace: Path) -> None:
    spec = SandboxSpec(workspace=workspace, task_id="t", limits=replace(LIMITS, disk_mb=200))
    (workspace / "there").write_bytes(data := os.urandom(1 << 20) * 64)
    opened = await provider.open(spec)
    try:
        counted = await shell(opened, "sha256sum there; cp there back; printf 'a\\377b\\000c\\r\\n' >odd")
        assert counted.stdout.split()[0] == hashlib.sha256(data).hexdigest()
        await opened.collect()
        assert await opened.read("odd") == b"a\xffb\0c\r\n"
        await opened.write("odd", b"\r\n\0\xfe")
        assert (await shell(opened, "wc -c <odd")).stdout.strip() == "4"
    finally:
        await opened.aclose()
    assert (workspace / "back").read_bytes() == data


async def test_the_workspace_comes_in_and_what_changed_goes_back(provider: SandboxProvider, workspace: Path, tmp_path: Path) -> None:
    (tmp_path / "outside").write_text("mine")
    (workspace / "kept").write_text("kept")
    (workspace / "kept").chmod(0o755)
    (workspace / "é\u202e ü\n").write_text("odd")
    (workspace / "same").write_text("aaaa")
    (workspace / "gone").write_text("x")
    (workspace / "old").mkdir()
    (workspace / "old/f").write_text("moved")
    (workspace / "empty").mkdir()
    (workspace / "out").symlink_to(tmp_path / "outside")
    (workspace / os.fsdecode(b"bad\xff")).write_text("bytes")
    opened = await provider.open(SandboxSpec(workspace=workspace, task_id="t", limits=LIMITS))
    try:
        assert (await shell(opened, "test -x kept && test -d empty && cat \"$(printf 'bad\\377')\" && readlink out")).stdout.endswith(
            "outside\n"
        )
        await opened.collect()
        await shell(opened, "touch -r same stamp; printf bbbb >same; touch -r stamp same; rm gone stamp")
        await shell(opened, "mv old new; ln -s new/f link; chmod 700 kept; mkdir n")
        await opened.collect()
        assert (workspace / "same").read_text() == "bbbb"
        assert not (workspace / "gone").exists()
        assert not (workspace / "old").exists()
        assert (workspace / "new/f").read_text() == "moved"
        assert os.readlink(workspace / "link") == "new/f"
        assert (workspace / "kept").stat().st_mode & 0o777 == 0o700
        assert (workspace / "n").is_dir()
        await shell(opened, "rm -r new; echo f >new; rm link; mkdir link; echo in >link/f; echo cccc >same; rmdir empty; ln -s / empty")
        await opened.collect()
        await shell(opened, "printf dddd >same")
        await opened.collect()
    finally:
        await opened.aclose()
    assert ((workspace / "new").read_text(), (workspace / "link/f").read_text()) == ("f\n", "in\n")
    assert (workspace / "same").read_text() == "dddd"
    assert os.readlink(workspace / "empty") == "/"
    assert (workspace / "é\u202e ü\n").read_text() == "odd"
    assert (tmp_path / "outside").read_text() == "mine"


async def test_readable_and_writable_folders(provider: SandboxProvider, workspace: Path, tmp_path: Path) -> None:
    readable, writable = tmp_path / "to read", tmp_path / "to write"
    readable.mkdir()
    writable.mkdir()
    (readable / "f").write_text("seen")
    spec = SandboxSpec(workspace=workspace, task_id="t", readable=[readable], writable=[writable], limits=LIMITS)
    opened = await provider.open(spec)
    try:
        result = await shell(opened, f"cat '{readable}/f'; touch '{readable}/g'; touch '{writable}/h'")
        await opened.collect()
    finally:
        await opened.aclose()
    assert result.stdout == "seen"
    assert (writable / "h").exists()
    assert (readable / "g").exists() is not provider.isolated


async def test_folders_without_rights_are_neither_removed_nor_left_out(provider: SandboxProvider, workspace: Path) -> None:
    (workspace / "src/deep").mkdir(parents=True)
    (workspace / "src/deep/kept").write_text("kept")
    (workspace / "src/changed").write_text("old")
    opened = await provider.open(SandboxSpec(workspace=workspace, task_id="t", limits=LIMITS))
    try:
        await shell(opened, "echo new >src/changed; chmod 000 src/deep src")
        await opened.collect()
        told = await shell(opened, "find src -prune -printf %m")
        assert told.stdout == "0", told
        await shell(opened, "chmod 700 src; chmod 400 src/deep")
        await opened.collect()
    finally:
        await opened.aclose()
        for folder in (workspace / "src", workspace / "src/deep"):
            folder.chmod(0o700)
    assert (workspace / "src/deep/kept").read_text() == "kept"
    assert (workspace / "src/changed").read_text() == "new\n"
