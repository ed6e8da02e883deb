"""What is in a folder, also where its owner took away his own right to look: what is not seen would count as removed."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections.abc import Iterator

_LEFT_OUT = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)
"""It vanished meanwhile, or no path can name it, so that it was never seen before."""


class Rights:
    """Gives folders below `root` back to their owner, as far as they are in the way, until it is left."""

    def __init__(self, root: str) -> None:
        self._root = root
        self._changed: list[tuple[str, int]] = []

    def __enter__(self) -> Rights:
        return self

    def __exit__(self, *_: object) -> None:
        for path, mode in reversed(self._changed):
            with contextlib.suppress(OSError):
                os.chmod(path, mode)

    def open(self, path: str) -> None:
        """Every folder on the way to `path`, which is relative, and itself if it is one. OSError where they are somebody else's."""
        parts = path.split("/") if path else []
        for number in range(len(parts) + 1):
            folder = os.path.join(self._root, *parts[:number])
            info = os.lstat(folder)
            if not stat.S_ISDIR(info.st_mode):
                return
            mode = stat.S_IMODE(info.st_mode)
            if mode & stat.S_IRWXU != stat.S_IRWXU:
                os.chmod(folder, mode | stat.S_IRWXU)
                self._changed.append((folder, mode))

    def look(self, path: str) -> os.stat_result | None:
        """What lstat says of it; None when it is not there. OSError."""
        try:
            try:
                return os.lstat(os.path.join(self._root, path))
            except PermissionError:
                self.open(path.rpartition("/")[0])
                return os.lstat(os.path.join(self._root, path))
        except OSError as error:
            if error.errno in _LEFT_OUT:
                return None
            raise


def walk(folder: str, rights: Rights | None = None) -> Iterator[tuple[str, os.stat_result]]:
    """Every entry below `folder` as (relative path, lstat), parents first. What vanishes meanwhile is left out.

    What may not be looked into is opened by `rights`; without, it is left out too. OSError.
    """
    pending = [""]
    while pending:
        above = pending.pop()
        for path, info in _look_into(folder, above, rights):
            yield path, info
            if stat.S_ISDIR(info.st_mode):
                pending.append(path)


def _look_into(folder: str, above: str, rights: Rights | None) -> list[tuple[str, os.stat_result]]:
    try:
        try:
            return _scan(folder, above)
        except PermissionError:
            if rights is None:
                return []
            rights.open(above)
            return _scan(folder, above)
    except OSError as error:
        if error.errno in _LEFT_OUT:
            return []
        raise


def _scan(folder: str, above: str) -> list[tuple[str, os.stat_result]]:
    found = []
    with os.scandir(os.path.join(folder, above)) as entries:
        for entry in entries:
            path = f"{above}/{entry.name}" if above else entry.name
            try:
                found.append((path, os.lstat(os.path.join(folder, path))))
            except OSError as error:
                if error.errno not in _LEFT_OUT:
                    raise
    return found
