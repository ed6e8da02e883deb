"""Which commits of a repository are replayed, and what each of them changes."""

from __future__ import annotations

import os
import re
import subprocess
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

LOOKED_AT = 800
FILES, LINES, FILE_BYTES, NEW_BYTES = 30, 1500, 900_000, 390_000
_LINK, _MODULE = "120000", "160000"


@dataclass(frozen=True)
class Change:
    """One path of a commit. A side that does not exist has the mode 000000 and no bytes."""

    path: str
    old_mode: str
    new_mode: str
    old: bytes
    new: bytes

    @property
    def is_new(self) -> bool:
        return self.old_mode == "000000"

    @property
    def is_gone(self) -> bool:
        return self.new_mode == "000000"

    @property
    def is_link(self) -> bool:
        return _LINK in (self.old_mode, self.new_mode)

    @property
    def turns_executable(self) -> bool:
        """Whether the executable bit is set or taken away; new files begin without it."""
        before = "100644" if self.is_new else self.old_mode
        return not self.is_link and not self.is_gone and before != self.new_mode


@dataclass(frozen=True)
class RealCommit:
    project: str
    id: str
    parent: str
    subject: str
    changes: tuple[Change, ...]

    @property
    def touches_tests(self) -> bool:
        return any(re.search(r"(^|/)tests?(_[^/]*|ing)?(/|\.py$)", change.path) for change in self.changes)


@dataclass
class Chosen:
    commits: list[RealCommit] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    """How many were looked at and not chosen, by the reason."""


def git(repository: Path, *arguments: str, stdin: bytes | None = None, index: Path | None = None) -> bytes:
    """What git prints. `index`: a file of its own instead of the repository's. `CalledProcessError` when it fails."""
    command = ["git", "-c", "core.quotepath=false", "-C", str(repository), *arguments]
    environment = {"PATH": os.defpath, **({"GIT_INDEX_FILE": str(index)} if index else {})}
    return subprocess.run(command, input=stdin, capture_output=True, check=True, env=environment).stdout


def choose(repository: Path, project: str, most: int) -> Chosen:
    """The newest commits that can be replayed, two of three with tests where there are so many; always the same for the same repository."""
    found = Chosen()
    log = git(repository, "log", "--no-merges", f"--max-count={LOOKED_AT}", "--format=%H %P\t%s", "HEAD").decode("utf-8", "replace")
    with_tests: list[RealCommit] = []
    others: list[RealCommit] = []
    for line in log.splitlines():
        ids, _, subject = line.partition("\t")
        commit, *parents = ids.split(" ")
        if len(with_tests) >= most and len(others) >= most:
            break
        if not parents or not parents[0]:
            continue
        changes = _changes(repository, parents[0], commit)
        if reason := why_not(changes):
            found.left_out[reason] += 1
            continue
        real = RealCommit(project, commit, parents[0], subject, tuple(changes))
        (with_tests if real.touches_tests else others).append(real)
    share = max(most - len(others), -(-most * 2 // 3))
    found.commits = [*with_tests[:share], *others][:most]
    return found


def why_not(changes: Iterable[Change]) -> str:
    """Why nobody could make this change with tools for text; empty when it can be made."""
    changes = list(changes)
    if not changes:
        return "nothing changed"
    if len(changes) > FILES:
        return f"more than {FILES} files"
    for change in changes:
        if _MODULE in (change.old_mode, change.new_mode):
            return "a submodule"
        if b"\0" in change.new[:8000] or (b"\0" in change.old[:8000] and not change.is_gone):
            return "a binary file"
        if len(change.new) > (NEW_BYTES if change.is_new else FILE_BYTES) or (len(change.old) > FILE_BYTES and not change.is_gone):
            return "a file too big to edit"
        if re.search(r'[\\"*?\[\n\t]', change.path):
            return "an unusual file name"
        if not _is_utf8(b"\n".join(_changed_lines(change))):
            return "text that is not UTF-8"
    if sum(len(_changed_lines(change)) for change in changes) > LINES:
        return f"more than {LINES} changed lines"
    return ""


def _is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def _changed_lines(change: Change) -> list[bytes]:
    """Those that are on one side alone; of a file that is removed, none has to be written."""
    before, after = Counter(change.old.split(b"\n")), Counter(change.new.split(b"\n"))
    return list((after - before).elements()) + (list((before - after).elements()) if not change.is_gone else [])


def _changes(repository: Path, parent: str, commit: str) -> list[Change]:
    fields = git(repository, "diff-tree", "-r", "-z", "--raw", "--no-renames", parent, commit).split(b"\0")[:-1]
    rows = [(head.decode()[1:].split(" "), path) for head, path in zip(fields[::2], fields[1::2], strict=True)]
    if len(rows) > FILES:
        return [Change("", "", "", b"", b"")] * len(rows)
    ids = [
        oid
        for (old_mode, new_mode, old, new, _), _ in rows
        for mode, oid in ((old_mode, old), (new_mode, new))
        if mode not in ("000000", _MODULE)
    ]
    blobs = _blobs(repository, ids)
    return [
        Change(path.decode("utf-8", "surrogateescape"), old_mode, new_mode, blobs.get(old, b""), blobs.get(new, b""))
        for (old_mode, new_mode, old, new, _), path in rows
    ]


def _blobs(repository: Path, ids: list[str]) -> dict[str, bytes]:
    answer = git(repository, "cat-file", "--batch", stdin="".join(f"{oid}\n" for oid in ids).encode())
    found, at = {}, 0
    for _ in ids:
        end = answer.index(b"\n", at)
        oid, _, size = answer[at:end].decode().split(" ")
        found[oid] = answer[end + 1 : end + 1 + int(size)]
        at = end + 2 + int(size)
    return found
