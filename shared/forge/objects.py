"""Reading and writing git objects through a git folder of our own."""

from __future__ import annotations

import os
from pathlib import Path

from shared.errors import RepositoryError
from shared.forge.git import GitError, run_git
from shared.forge.port import Commit
from shared.forge.source import Source

_LOOSE_AT_MOST = 500


async def peel(git_dir: Path, name: str) -> str | None:
    """The commit that an object id (perhaps of a tag) stands for."""
    answer = await run_git("rev-parse", "--verify", "--quiet", f"{name}^{{commit}}", git_dir=git_dir, check=False)
    return answer.text if answer.exit_code == 0 else None


async def left_at(git_dir: Path, head: str, base: str | None) -> str:
    """The commit where `head` left `base`; without a base its first parent. The empty tree where there is neither."""
    if base is not None:
        common = await run_git("merge-base", base, head, git_dir=git_dir, check=False)
        return common.text or base
    parents = (await run_git("rev-list", "--parents", "--max-count=1", head, git_dir=git_dir)).text.split()[1:]
    return parents[0] if parents else (await run_git("hash-object", "-t", "tree", "--stdin", git_dir=git_dir)).text


async def _tree(git_dir: Path, commit: str, *paths: str) -> list[tuple[str, str, str]]:
    """(mode, object id, path) of everything below a commit, or of one path."""
    options = () if paths else ("-r",)
    answer = await run_git("ls-tree", "-z", "--full-tree", *options, commit, "--", *paths, git_dir=git_dir)
    rows = []
    for line in answer.stdout.split(b"\0")[:-1]:
        head, _, path = line.partition(b"\t")
        mode, _, oid = head.decode().split(" ")
        rows.append((mode, oid, os.fsdecode(path)))
    return rows


async def submodules(git_dir: Path, commit: str) -> list[str]:
    return [path for mode, _, path in await _tree(git_dir, commit) if mode == "160000"]


async def list_files(git_dir: Path, commit: str) -> list[str]:
    return sorted(path for mode, _, path in await _tree(git_dir, commit) if mode != "160000")


async def read_file(git_dir: Path, commit: str, path: str) -> bytes | None:
    if not path or "\0" in path or path.startswith("/") or any(part in ("", ".", "..") for part in path.split("/")):
        return None
    for mode, oid, found in await _tree(git_dir, commit, path):
        if found == path and mode in ("100644", "100755", "100664"):
            return (await run_git("cat-file", "blob", oid, git_dir=git_dir)).stdout
    return None


async def write_commit(git_dir: Path, commit: Commit) -> str:
    """Commit the index of `git_dir`; the same index, message, author and time give the same id."""
    tree = (await run_git("write-tree", git_dir=git_dir)).text
    date = f"@{commit.timestamp} +0000"
    who = {
        "GIT_AUTHOR_NAME": commit.author_name,
        "GIT_AUTHOR_EMAIL": commit.author_email,
        "GIT_AUTHOR_DATE": date,
        "GIT_COMMITTER_NAME": commit.author_name,
        "GIT_COMMITTER_EMAIL": commit.author_email,
        "GIT_COMMITTER_DATE": date,
    }
    message = commit.message.replace("\0", "").encode(errors="replace")
    utf8 = ("i18n.commitEncoding=UTF-8",)
    made = await run_git("commit-tree", tree, "-p", commit.base_commit, "-F", "-", git_dir=git_dir, env=who, stdin=message, config=utf8)
    return made.text


async def copy_commit(git_dir: Path, commit: str, target: Source) -> None:
    """Put a commit made in `git_dir`, with its new files and folders, into the object store of `target`.

    Only the object store is written: no configuration and no hook of the target takes part.
    """
    try:
        names = await _new_objects(git_dir, commit)
        pack = (await run_git("pack-objects", "--stdout", "--quiet", "--delta-base-offset", git_dir=git_dir, stdin=names)).stdout
        loose = names.count(b"\n") <= _LOOSE_AT_MOST
        command = ("unpack-objects", "-q") if loose else ("index-pack", "--stdin")
        where = {"GIT_OBJECT_DIRECTORY": str(target.objects)}
        await run_git(*command, git_dir=git_dir, env=where, stdin=pack, config=("core.fsync=all",), timeout_s=600)
    except GitError as exc:
        if "ermission" in exc.stderr or "Read-only" in exc.stderr:
            text = f"{target.name} cannot be written"
            raise RepositoryError(text, "Give yourself the right to write to its .git folder.", code="repository_not_writable") from exc
        if "No space left" in exc.stderr or "quota" in exc.stderr:
            raise RepositoryError(f"There is no space left where {target.name} is", "Free some space and retry.", code="disk_full") from exc
        raise


async def _new_objects(git_dir: Path, commit: str) -> bytes:
    """Object ids, one a line: the commit, its folders and files that its parent does not have."""
    tree = (await run_git("rev-parse", "--verify", f"{commit}^{{tree}}", git_dir=git_dir)).text
    rows = (await run_git("diff-tree", "-r", "-t", "-z", "--raw", "--no-renames", f"{commit}^", commit, git_dir=git_dir)).stdout
    names = {commit, tree}
    for head in rows.split(b"\0")[0:-1:2]:
        _, mode, _, oid, status = head.decode().lstrip(":").split(" ")
        if status != "D" and mode != "160000":
            names.add(oid)
    return "".join(f"{name}\n" for name in sorted(names)).encode()
