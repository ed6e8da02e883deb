"""The forge port: where repositories come from and pull requests go to."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from shared.types import Json


@dataclass(frozen=True)
class RepositoryInfo:
    """A repository that can be worked on. `repo` is its canonical name: an absolute path, or `owner/name`."""

    repo: str
    default_branch: str | None
    head_commit: str
    notes: tuple[str, ...] = ()
    """Facts a person should know: a dirty working tree (its changes are not included), a detached head, submodules left out."""


@dataclass(frozen=True)
class Checkout:
    """A disposable working tree at a base commit, plus a patch. `folder` has no `.git`: git's own data is in `git_dir`, outside it."""

    folder: Path
    git_dir: Path
    base_commit: str


@dataclass(frozen=True)
class Diff:
    """A patch in git's binary format against `base_commit`, with `stats` {files, insertions, deletions, paths: [...]}."""

    base_commit: str
    patch: bytes
    stats: Json = field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        return not self.patch.strip()


@dataclass(frozen=True)
class Comparison:
    """What a commit changed, to be read: binary files are named only.

    `diff.base_commit` is where it left the other one: their last common commit, or its first parent.
    """

    head_commit: str
    diff: Diff


@dataclass(frozen=True)
class Commit:
    """What is to be committed: `timestamp` is fixed by the task, so that doing it again gives the same commit id."""

    base_commit: str
    patch: bytes
    message: str
    branch: str
    timestamp: int
    author_name: str = "Persevere"
    author_email: str = "persevere@localhost"


class Forge(Protocol):
    name: str

    async def inspect(self, repo: str, branch: str | None = None) -> RepositoryInfo:
        """What `repo` is now, resolved to a commit. `RepositoryError` in one clear sentence when it cannot be used."""

    async def read_file(self, repo: str, commit: str, path: str) -> bytes | None:
        """A file at a commit, or None."""

    async def list_files(self, repo: str, commit: str) -> list[str]:
        """Tracked files and links at a commit, sorted; submodules left out."""

    async def checkout(self, repo: str, base_commit: str, patch: bytes, folder: Path, git_dir: Path) -> Checkout:
        """Make `folder` the tree of base commit plus patch. Both folders are made new; what was there is removed."""

    async def diff(self, checkout: Checkout) -> Diff:
        """What the working tree changed against the base commit, new and deleted files included, ignored files left out."""

    async def compare(self, repo: str, head: str, base: str | None = None) -> Comparison:
        """What `head` (a branch, or a commit's id, also a short one) changed since it left `base`; without one, in its last commit."""

    async def commit_id(self, repo: str, commit: Commit, git_dir: Path) -> str:
        """Build the commit from base and patch without a working tree; the id is the same every time."""

    async def push(self, repo: str, commit_id: str, branch: str, git_dir: Path) -> None:
        """Make `branch` point to the commit. Doing it again is harmless; a branch that points elsewhere is a `ConflictError`."""

    async def branch_head(self, repo: str, branch: str) -> str | None:
        """Where a branch points, or None: how a crash between push and its record is reconciled."""
