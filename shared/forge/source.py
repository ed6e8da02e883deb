"""A repository of the person's: where it is, what its refs say, what a person should know about it. Read, never changed."""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from shared.errors import RepositoryError
from shared.forge.git import GitError, GitResult, run_git

OBJECT_ID = re.compile(r"[0-9a-f]{40}(?:[0-9a-f]{24})?")


@dataclass(frozen=True)
class Source:
    """`name` is the canonical path; `git_dir` that of the (linked) working tree; `common_dir` holds refs and objects."""

    name: str
    git_dir: Path
    common_dir: Path
    work_tree: Path | None
    object_format: str

    @property
    def objects(self) -> Path:
        return self.common_dir / "objects"


async def locate(repo: str) -> Source:
    """The repository at `repo` or above it. `RepositoryError` in one sentence when there is none that can be used."""
    if not repo.strip() or "\0" in repo:
        raise RepositoryError("No repository was named", "Name a folder with --repo.")
    path = Path(os.path.realpath(os.path.expanduser(repo)))
    if not path.exists():
        raise RepositoryError(f"{repo} does not exist", "Check the path of the repository.", code="repository_not_found")
    if not path.is_dir():
        raise RepositoryError(f"{repo} is a file, not a repository", "Name the repository's folder.", code="repository_not_found")
    found = await _discover(path)
    lines = os.fsdecode(found.stdout).removesuffix("\n").split("\n")
    if len(lines) != 4:
        raise RepositoryError(f"{repo}: folder names with a line break cannot be used", "Rename the folder.")
    git_dir, common, bare, object_format = lines
    git_path = Path(git_dir)
    top = None if bare == "true" else _top(path, git_path)
    name = top or (git_path.parent if git_path.name == ".git" else git_path)
    return Source(str(name), git_path, (path / common).resolve(), top, object_format)


async def _discover(path: Path) -> GitResult:
    questions = ("rev-parse", "--absolute-git-dir", "--git-common-dir", "--is-bare-repository", "--show-object-format")
    result = await run_git(*questions, cwd=path, timeout_s=20, check=False)
    if "dubious ownership" in result.stderr:
        trusted = await _trusted_folders()
        if trusted:
            result = await run_git(*questions, cwd=path, config=trusted, timeout_s=20, check=False)
    if result.exit_code == 0:
        return result
    if "dubious ownership" in result.stderr:
        raise RepositoryError(
            f"{path} belongs to another user, so git does not trust it",
            f"Work as its owner, or trust it with: git config --global --add safe.directory '{path}'",
            code="repository_not_trusted",
        )
    if "not a git repository" in result.stderr:
        raise RepositoryError(
            f"{path} is not a git repository", f"Make it one: cd '{path}' && git init && git add . && git commit", code="not_a_repository"
        )
    if "ermission denied" in result.stderr:
        raise RepositoryError(f"{path} cannot be read: permission denied", "Give yourself the right to read it.")
    raise damaged(str(path), "git cannot read its configuration or layout")


async def _trusted_folders() -> list[str]:
    """What the person trusts in their own git settings; nothing else of these settings is used."""
    home = os.environ.get("HOME")
    if not home:
        return []
    own = os.environ.get("GIT_CONFIG_GLOBAL") or os.path.join(home, ".gitconfig")
    answer = await run_git("config", "--file", own, "--null", "--get-all", "safe.directory", env={"HOME": home}, timeout_s=10, check=False)
    return [f"safe.directory={value}" for value in os.fsdecode(answer.stdout).split("\0") if value]


def _top(path: Path, git_dir: Path) -> Path | None:
    """The folder that holds `.git`. Looked for here, because `core.worktree` could name any other folder."""
    for folder in (path, *path.parents):
        if (folder / ".git").exists():
            return folder
        if folder == git_dir:
            return folder.parent if folder.name == ".git" else None
    return None


def damaged(name: str, what: str) -> RepositoryError:
    return RepositoryError(f"{name} is damaged: {what}", f"Run `git -C '{name}' fsck` and repair it.", code="repository_damaged")


async def read_ref(source: Source, ref: str) -> str | None:
    """The object a full ref name (or HEAD) points to; None when there is none."""
    answer = await run_git("rev-parse", "--verify", "--quiet", "--end-of-options", ref, git_dir=source.git_dir, timeout_s=20, check=False)
    text = answer.text
    return text if answer.exit_code == 0 and OBJECT_ID.fullmatch(text) else None


async def current_branch(source: Source) -> str | None:
    """The branch HEAD names, or None when it is detached. The branch may have no commit yet."""
    answer = await run_git("symbolic-ref", "--quiet", "HEAD", git_dir=source.git_dir, timeout_s=20, check=False)
    return answer.text.removeprefix("refs/heads/") if answer.exit_code == 0 else None


async def has_refs(source: Source) -> bool:
    answer = await run_git("for-each-ref", "--count=1", "--format=%(refname)", git_dir=source.git_dir, timeout_s=20, check=False)
    return bool(answer.stdout.strip())


@dataclass(frozen=True)
class TreeState:
    """Sentences about changes that are not committed, and the files and folders they depend on (None: not known)."""

    notes: tuple[str, ...] = ()
    paths: tuple[str, ...] | None = ()


_UNKNOWN = TreeState(("Whether there are uncommitted changes could not be found out; they are not included.",), None)


async def working_tree(source: Source, reader: Path, head: str) -> TreeState:
    """What is not committed. Looks through our own git folder and a copy of the index; 10 s at most."""
    index = source.git_dir / "index"
    if source.work_tree is None:
        return TreeState()
    if not index.is_file():
        return TreeState(paths=None)
    with tempfile.TemporaryDirectory(prefix="persevere-index-") as folder:
        copy = Path(folder) / "index"
        try:
            # With its times: git tells by them which files it must look into.
            await asyncio.to_thread(shutil.copy2, index, copy)
            return await _changes(source, source.work_tree, reader, copy, head)
        except (GitError, OSError):
            return _UNKNOWN


async def _changes(source: Source, top: Path, reader: Path, index: Path, head: str) -> TreeState:
    async def ask(*args: str, config: tuple[str, ...] = ()) -> GitResult:
        return await run_git(*args, git_dir=reader, work_tree=top, index=index, config=config, timeout_s=10, check=False)

    plain = ("--no-ext-diff", "--no-textconv", "--ignore-submodules=all")
    excludes = source.common_dir / "info" / "exclude"
    others = ("--others", "--exclude-standard", "--directory", "--no-empty-directory", "-z")
    difference, untracked, tracked = await asyncio.gather(
        ask("diff", "--quiet", *plain, head, "--", config=("diff.autoRefreshIndex=true",)),
        ask("ls-files", *others, config=(f"core.excludesFile={excludes}",)),
        ask("ls-files", "-z"),
    )
    if difference.exit_code not in (0, 1):
        return _UNKNOWN
    notes = []
    if difference.exit_code:
        notes.append("The working tree has uncommitted changes; they are not included.")
    if untracked.stdout:
        notes.append("There are untracked files; they are not included.")
    names = [os.fsdecode(name) for name in (tracked.stdout + untracked.stdout).split(b"\0") if name]
    return TreeState(tuple(notes), (str(source.git_dir / "index"), str(excludes), *_with_folders(top, names)))


def _with_folders(top: Path, names: list[str]) -> list[str]:
    """Full paths of files and of every folder above them: a new file shows in its folder's time."""
    folders = {""}
    for name in names:
        parent = os.path.dirname(name.rstrip("/"))
        while parent not in folders:
            folders.add(parent)
            parent = os.path.dirname(parent)
    return [os.path.join(top, name) for name in (*sorted(folders), *names)]
