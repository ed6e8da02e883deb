"""What comes out of a sandbox was written by an enemy: whatever the stream says, nothing outside the folder is touched."""

from __future__ import annotations

import io
import json
import os
import struct
from pathlib import Path
from typing import Any

import pytest

from shared.sandbox.copying import remove
from shared.sandbox.inside.archive import START, ArchiveError, Bounds, pack, unpack

END = struct.pack(">I", 0)


def part(data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + data


def entry(path: object, kind: str = "f", content: bytes = b"x", **more: Any) -> bytes:
    head = part(json.dumps({"p": path, "k": kind, **more}).encode())
    return head + (part(content) + END if kind == "f" else b"")


def write(folder: Path, *entries: bytes, end: bytes = END, bounds: Bounds | None = None) -> None:
    stream = io.BytesIO(START + b"".join(entries) + end)
    unpack(str(folder), stream.read, bounds or Bounds(1_000_000, 1000))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    (tmp_path / "secret").write_text("mine")
    return tmp_path / "in"


@pytest.mark.parametrize("path", ["../secret", "/secret", "a/../../secret", "", ".", "..", "a//b", "a/./b", "a\0b", "/", "a/.."])
@pytest.mark.parametrize("kind", ["f", "d", "l"])
def test_no_name_leads_out(folder: Path, path: str, kind: str) -> None:
    with pytest.raises(ArchiveError):
        write(folder, entry(path, kind, t="/"))
    assert (folder.parent / "secret").read_text() == "mine"
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("target", ["..", "{parent}", "../../"])
def test_no_link_is_gone_through(folder: Path, target: str) -> None:
    link = entry("out", "l", t=target.format(parent=folder.parent))
    for kind in ("f", "d", "l"):
        with pytest.raises(ArchiveError):
            write(folder, link, entry("out/secret", kind, t="x"))
    write(folder, entry("file", "l", t=str(folder.parent / "secret")), entry("file", content=b"changed"))
    assert (folder.parent / "secret").read_text() == "mine"
    assert (folder / "file").read_text() == "changed"


def test_a_link_of_the_hosts_own_is_not_gone_through(folder: Path) -> None:
    (folder / "out").symlink_to(folder.parent)
    with pytest.raises(ArchiveError):
        write(folder, entry("out/secret"))
    write(folder, entry("out", "d"))
    assert not (folder / "out").is_symlink()
    assert (folder.parent / "secret").read_text() == "mine"


def test_another_name_of_a_file_keeps_its_content(folder: Path) -> None:
    os.link(folder.parent / "secret", folder / "same")
    write(folder, entry("same", content=b"changed", m=0o777))
    assert (folder.parent / "secret").read_text() == "mine"
    assert (folder.parent / "secret").stat().st_mode & 0o777 != 0o777


def test_no_special_files_and_no_special_modes(folder: Path) -> None:
    for kind in ("p", "c", "b", "s", "h", "", None):
        with pytest.raises(ArchiveError):
            write(folder, part(json.dumps({"p": "x", "k": kind}).encode()))
    write(folder, entry("f", m=0o7777), entry("d", "d", m=0o7000))
    assert (folder / "f").stat().st_mode & 0o7777 == 0o777
    assert (folder / "d").stat().st_mode & 0o7777 == 0o700


def test_bounds_hold(folder: Path) -> None:
    with pytest.raises(ArchiveError):
        write(folder, entry("big", content=b"x" * 2000), bounds=Bounds(1999, 10))
    with pytest.raises(ArchiveError):
        write(folder, *(entry(str(number)) for number in range(11)), bounds=Bounds(10_000, 10))
    with pytest.raises(ArchiveError):
        write(folder, struct.pack(">I", 1 << 31))
    with pytest.raises(ArchiveError):
        write(folder, part(json.dumps({"p": "x", "k": "f"}).encode()) + struct.pack(">I", 1 << 31))


@pytest.mark.parametrize(
    "stream", [b"", b"junk", START, START + b"\0\0", START + part(b"[]"), START + part(b'{"p": "f", "k": "f"}') + part(b"x")]
)
def test_what_is_no_archive_is_refused(folder: Path, stream: bytes) -> None:
    with pytest.raises(ArchiveError):
        unpack(str(folder), io.BytesIO(stream).read, Bounds(1000, 10))


def test_a_folder_becomes_a_file_and_back(folder: Path) -> None:
    write(folder, entry("a", "d"), entry("a/b"), entry("a", content=b"file"))
    assert (folder / "a").read_bytes() == b"file"
    write(folder, entry("a", "d"), entry("a/b", content=b"again"))
    assert (folder / "a/b").read_bytes() == b"again"


def test_removing_follows_no_links(folder: Path) -> None:
    (folder / "out").symlink_to(folder.parent)
    (folder / "d/e").mkdir(parents=True)
    remove(folder, ["out/secret", "d/e", "d", "not/there", "../secret"])
    assert (folder.parent / "secret").exists()
    assert [path.name for path in folder.iterdir()] == ["out"]


def test_everything_there_and_back(folder: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    (source / "d ü\n/empty").mkdir(parents=True)
    (source / "run").write_bytes(bytes(range(256)) * 2000)
    (source / "run").chmod(0o755)
    os.utime(source / "run", ns=(1_500_000_000_123_456_789,) * 2)
    (source / "link").symlink_to("/nowhere/\u202e")
    (source / os.fsdecode(b"bad\xff")).write_bytes(b"")
    os.link(source / "run", source / "d ü\n/twin")
    os.mkfifo(source / "pipe")
    (source / "locked").write_text("locked")
    (source / "locked").chmod(0)
    stream = io.BytesIO()
    pack(str(source), stream.write)
    stream.seek(0)
    unpack(str(folder), stream.read, Bounds(10_000_000, 100))
    found = sorted(path.relative_to(folder) for path in folder.rglob("*"))
    assert found == sorted(path.relative_to(source) for path in source.rglob("*") if path.name != "pipe")
    assert (folder / "run").read_bytes() == (folder / "d ü\n/twin").read_bytes() == (source / "run").read_bytes()
    assert (folder / "run").stat().st_mode & 0o777 == 0o755
    assert (folder / "run").stat().st_mtime_ns == 1_500_000_000_123_456_789
    assert os.readlink(folder / "link") == "/nowhere/\u202e"
