"""Folders as a stream of bytes, written and read by both ends. Neither end trusts the other.

`START`, then entries, then a zero length. An entry is a length (four bytes, big-endian) and that much JSON: path `p` (relative, below
the folder), kind `k` (f, d, l), mode `m`, modification time `s` in ns, a link's target `t`; after a file's come its chunks, each with its
length, and a zero length. Links are never followed; what is neither file, folder nor link is left out.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import stat
import struct
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from shared.sandbox.inside.folders import Rights, walk

START = b"persevere archive 1\n"
_CHUNK = 128 * 1024
_HEADER = 64 * 1024
_SIZE = struct.Struct(">I")
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


class ArchiveError(Exception):
    """The stream is not one, or asks for what may not be."""


@dataclass
class Bounds:
    """What may still be unpacked; less with every entry."""

    most_bytes: int
    most_entries: int

    def take(self, size: int, entries: int = 0) -> None:
        self.most_bytes -= size
        self.most_entries -= entries
        if self.most_bytes < 0 or self.most_entries < 0:
            raise ArchiveError("the sandbox holds more than its limits allow")


def pack(folder: str, write: Callable[[bytes], object], paths: Iterable[str] | None = None, more_mode: int = 0) -> None:
    """Everything below `folder`, or only `paths` (not what is below them).

    `more_mode` is added to the modes of files and folders; it is somebody else's then, and what may not be read is left out. OSError.
    """
    write(START)
    with Rights(folder) as rights:
        _pack_entries(folder, _look(rights, paths) if paths is not None else walk(folder, None if more_mode else rights), write, more_mode)
    write(_SIZE.pack(0))


def _pack_entries(folder: str, chosen: Iterable[tuple[str, os.stat_result]], write: Callable[[bytes], object], more_mode: int) -> None:
    for path, info in chosen:
        head: dict[str, Any] = {"p": path, "m": stat.S_IMODE(info.st_mode) | more_mode, "s": info.st_mtime_ns}
        if stat.S_ISREG(info.st_mode):
            _pack_file(os.path.join(folder, path), {**head, "k": "f"}, write)
        elif stat.S_ISDIR(info.st_mode):
            _put(write, json.dumps({**head, "k": "d", "m": head["m"] | (more_mode & 0o444) >> 2}).encode())
        elif stat.S_ISLNK(info.st_mode):
            with contextlib.suppress(OSError):
                _put(write, json.dumps({**head, "k": "l", "t": os.readlink(os.path.join(folder, path))}).encode())


def _look(rights: Rights, paths: Iterable[str]) -> Iterator[tuple[str, os.stat_result]]:
    for path in paths:
        if (info := rights.look(path)) is not None:
            yield path, info


def _pack_file(path: str, head: dict[str, Any], write: Callable[[bytes], object]) -> None:
    try:
        file = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except PermissionError:
        file = _open_locked(path)
    except OSError:
        return
    with open(file, "rb", buffering=0) as stream:
        _put(write, json.dumps(head).encode())
        while data := stream.read(_CHUNK):
            _put(write, data)
        write(_SIZE.pack(0))


def _open_locked(path: str) -> int:
    """A file whose owner took away his own right to read it."""
    mode = stat.S_IMODE(os.lstat(path).st_mode)
    os.chmod(path, mode | stat.S_IRUSR)
    try:
        return os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    finally:
        os.chmod(path, mode)


def _put(write: Callable[[bytes], object], data: bytes) -> None:
    write(_SIZE.pack(len(data)) + data)


def unpack(folder: str, read: Callable[[int], bytes], bounds: Bounds) -> list[str]:
    """Write a stream's entries below `folder`, replacing what is there; the paths written. ArchiveError, or OSError of the file system.

    `read(n)` gives exactly n bytes, or fewer at the stream's end. Nothing is written outside `folder` or through a link, whatever the
    stream says; modes lose their set-user and set-group bits, and the owner keeps his own rights.
    """
    if _exactly(read, len(START)) != START:
        raise ArchiveError("this is not an archive")
    written = []
    with Tree(folder) as tree:
        while size := _length(read, _HEADER):
            head = json.loads(_exactly(read, size))
            if not isinstance(head, dict):
                raise ArchiveError("an entry is not described")
            path, kind, mode = str(head.get("p")), head.get("k"), int(head.get("m", 0o644)) & 0o777
            bounds.take(0, 1)
            parent, name = tree.parent(path)
            if kind == "d":
                _make_folder(name, parent, mode)
            elif kind == "l":
                clear(name, parent)
                os.symlink(_target(head), name, dir_fd=parent)
            elif kind == "f":
                _unpack_file(name, parent, mode, head.get("s"), read, bounds)
            else:
                raise ArchiveError("an entry is of no known kind")
            written.append(path)
    return written


def _target(head: dict[str, Any]) -> str:
    target = str(head.get("t", ""))
    if not target or "\0" in target:
        raise ArchiveError("a link leads nowhere")
    return target


def _unpack_file(name: str, parent: int, mode: int, modified: object, read: Callable[[int], bytes], bounds: Bounds) -> None:
    clear(name, parent)
    file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=parent)
    with open(file, "wb", buffering=0) as stream:
        while size := _length(read, 4 * _CHUNK):
            bounds.take(size)
            view = memoryview(_exactly(read, size))
            while view:
                view = view[stream.write(view) :]
        os.fchmod(file, mode)
        if isinstance(modified, int) and 0 <= modified < 1 << 62:
            os.utime(file, ns=(modified, modified))


def _make_folder(name: str, parent: int, mode: int) -> None:
    try:
        os.mkdir(name, 0o700, dir_fd=parent)
    except FileExistsError:
        if not stat.S_ISDIR(os.stat(name, dir_fd=parent, follow_symlinks=False).st_mode):
            clear(name, parent)
            os.mkdir(name, 0o700, dir_fd=parent)
    folder = os.open(name, _FOLDER, dir_fd=parent)
    try:
        os.fchmod(folder, mode | 0o700)
    finally:
        os.close(folder)


def clear(name: str, parent: int) -> None:
    """Remove what has this name, a folder with all its content; a link itself, not where it leads."""
    try:
        os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno not in (errno.EISDIR, errno.EPERM):
            raise
        shutil.rmtree(name, dir_fd=parent)


class Tree:
    """Folders below a root, opened one component at a time without following links; the last one is kept open for its next entry."""

    def __init__(self, root: str, *, make: bool = True) -> None:
        self._make = make
        self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._above: tuple[str, ...] = ()
        self._opened: list[int] = []

    def __enter__(self) -> Tree:
        return self

    def __exit__(self, *_: object) -> None:
        self._close_to(0)
        os.close(self._root)

    def parent(self, path: str) -> tuple[int, str]:
        """The open folder that holds `path`, and its name there. ArchiveError for a path that could lead elsewhere."""
        parts = tuple(path.split("/"))
        if "\0" in path or any(part in ("", ".", "..") for part in parts):
            raise ArchiveError(f"an entry may not be named {path!r}")
        above, name = parts[:-1], parts[-1]
        same = 0
        while same < min(len(above), len(self._above)) and above[same] == self._above[same]:
            same += 1
        self._close_to(same)
        self._above = above[:same]
        for part in above[same:]:
            self._opened.append(self._open(part, self._opened[-1] if self._opened else self._root))
            self._above = (*self._above, part)
        return (self._opened[-1] if self._opened else self._root), name

    def forget(self) -> None:
        """Open folders anew from here on: some may have been removed."""
        self._close_to(0)
        self._above = ()

    def _open(self, part: str, parent: int) -> int:
        try:
            return os.open(part, _FOLDER, dir_fd=parent)
        except FileNotFoundError:
            if not self._make:
                raise
            os.mkdir(part, 0o755, dir_fd=parent)
            return os.open(part, _FOLDER, dir_fd=parent)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR):
                raise ArchiveError(f"{part!r} is not a folder") from error
            raise

    def _close_to(self, number: int) -> None:
        while len(self._opened) > number:
            os.close(self._opened.pop())


def _length(read: Callable[[int], bytes], most: int) -> int:
    size = int(_SIZE.unpack(_exactly(read, _SIZE.size))[0])
    if size > most:
        raise ArchiveError("a part is too long")
    return size


def _exactly(read: Callable[[int], bytes], size: int) -> bytes:
    data = read(size)
    if len(data) != size:
        raise ArchiveError("the stream ended too early")
    return data
