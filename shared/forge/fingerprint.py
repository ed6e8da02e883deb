"""Cheap signs that a repository is still what it was: what git said about it may then be said again without asking git."""

from __future__ import annotations

import hashlib
import os
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Generic, TypeVar

T = TypeVar("T")

_REMEMBERED = 64
_MOST_PATHS = 2_000
_LONGEST_POINTER = 4_096
# A file changed twice within one tick of the file system's clock may look the same: what is younger is not relied on.
_TOO_YOUNG_NS = 100_000_000


class Fingerprint:
    """A digest of stamps and contents; `newest_ns` is when the last of them changed (nanoseconds since the epoch)."""

    def __init__(self) -> None:
        self._hash = hashlib.blake2b(digest_size=16)
        self.newest_ns = 0

    @property
    def digest(self) -> bytes:
        return self._hash.digest()

    def is_settled(self, at_ns: int) -> bool:
        """Whether everything was old enough then that a later change must show."""
        return at_ns - self.newest_ns > _TOO_YOUNG_NS

    def text(self, value: bytes) -> None:
        self._hash.update(b"%d:" % len(value) + value)

    def stamp(self, path: str | Path) -> bool:
        """Take in the times, size, number, mode and owner of a file or folder; False when there is none."""
        try:
            found = os.lstat(path)
        except (OSError, ValueError):
            self._hash.update(b"-")
            return False
        self.newest_ns = max(self.newest_ns, found.st_ctime_ns)
        stamps = (found.st_mtime_ns, found.st_ctime_ns, found.st_size, found.st_ino, found.st_mode, found.st_uid)
        self._hash.update(repr(stamps).encode())
        return True

    def mark(self, path: Path) -> None:
        """Take in only which file or folder it is and whose: for a folder whose entries come and go."""
        try:
            found = os.lstat(path)
            self.text(b"%d %d %d %d" % (found.st_dev, found.st_ino, found.st_mode, found.st_uid))
        except OSError:
            self._hash.update(b"-")

    def content(self, path: Path) -> bytes | None:
        """Take in a small file whole; None when it cannot be read or is not small."""
        self.stamp(path)
        try:
            with path.open("rb") as file:
                data = file.read(_LONGEST_POINTER + 1)
        except OSError:
            return None
        if len(data) > _LONGEST_POINTER:
            return None
        self.text(data)
        return data


class Remembered(Generic[T]):
    """The latest value of each key together with the fingerprint it is true for. Bounded: the least used goes first."""

    def __init__(self, size: int = _REMEMBERED) -> None:
        self._size = size
        self._known: OrderedDict[object, tuple[bytes, T]] = OrderedDict()

    def get(self, key: object, fingerprint: Fingerprint | None) -> T | None:
        known = self._known.get(key)
        if known is None or fingerprint is None or known[0] != fingerprint.digest:
            return None
        self._known.move_to_end(key)
        return known[1]

    def peek(self, key: object) -> T | None:
        """The value of a key, whether it is still true or not."""
        known = self._known.get(key)
        return known[1] if known else None

    def put(self, key: object, value: T, fingerprint: Fingerprint | None, asked_ns: int) -> None:
        """Keep the answer to a question that was asked at `asked_ns`, unless something had changed only just before or since."""
        self._known.pop(key, None)
        if fingerprint is None or not fingerprint.is_settled(asked_ns):
            return
        self._known[key] = (fingerprint.digest, value)
        if len(self._known) > self._size:
            self._known.popitem(last=False)


def of_repository(repo: str, branch: str | None) -> Fingerprint | None:
    """What decides where `repo` is and which commit `branch` (None: HEAD) names. None when files do not tell: then ask git."""
    try:
        path = Path(os.path.realpath(os.path.expanduser(repo)))
        sign = Fingerprint()
        sign.text(os.fsencode(path))
        git_dir = _git_dir(sign, path)
        return sign if git_dir is not None and _refs(sign, git_dir, branch) else None
    except (OSError, ValueError):
        return None


def of_files(paths: Sequence[str]) -> Fingerprint | None:
    """Stamps of a working tree's files and folders; None when there are too many to look at each time."""
    if len(paths) > _MOST_PATHS:
        return None
    sign = Fingerprint()
    for path in paths:
        sign.stamp(path)
    return sign


def _git_dir(sign: Fingerprint, path: Path) -> Path | None:
    """The git folder at `path` or above, found as git does; who owns it is part of the sign."""
    for folder in (path, *path.parents):
        entry = folder / ".git"
        sign.mark(folder)
        if entry.is_dir():
            sign.mark(entry)
            return entry
        if entry.exists():
            pointer = sign.content(entry)
            if pointer is None or not pointer.startswith(b"gitdir: "):
                return None
            target = folder / os.fsdecode(pointer.removeprefix(b"gitdir: ").rstrip(b"\r\n"))
            sign.mark(target)
            return target
        if (folder / "HEAD").is_file() and (folder / "objects").is_dir() and (folder / "refs").is_dir():
            return folder
    return None


def _refs(sign: Fingerprint, git_dir: Path, branch: str | None) -> bool:
    head = sign.content(git_dir / "HEAD")
    common = git_dir
    if (git_dir / "commondir").exists():
        pointer = sign.content(git_dir / "commondir")
        if pointer is None:
            return False
        common = git_dir / os.fsdecode(pointer.rstrip(b"\r\n"))
    if head is None or (common / "reftable").exists() or (git_dir / "reftable").exists():
        return False
    for name in ("config", "packed-refs", "shallow"):
        sign.stamp(common / name)
    sign.stamp(git_dir / "config.worktree")
    sign.mark(common / "objects")
    # Which folders of other people a person trusts.
    sign.stamp(os.environ.get("GIT_CONFIG_GLOBAL") or os.path.expanduser("~/.gitconfig"))
    names = []
    if head.startswith(b"ref: "):
        names.append(os.fsdecode(head.removeprefix(b"ref: ").strip()))
    if branch is not None:
        names += [f"refs/heads/{branch}", f"refs/remotes/{branch}", f"refs/remotes/origin/{branch}", f"refs/tags/{branch}"]
    return all(_ref(sign, common, name) for name in names)


def _ref(sign: Fingerprint, common: Path, name: str) -> bool:
    """Take in a branch's or tag's own file, missing or not. False for what points further or is kept elsewhere."""
    if not name.startswith(("refs/heads/", "refs/remotes/", "refs/tags/")) or ".." in name:
        return False
    file = common / name
    if not os.path.lexists(file):
        sign.text(b"none")
        return True
    data = None if file.is_symlink() else sign.content(file)
    return data is not None and not data.startswith(b"ref:")
