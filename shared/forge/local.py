"""The forge of a laptop: repositories are folders, a pull request is a branch and a record."""

from __future__ import annotations

import asyncio
import os
import re
import time
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakKeyDictionary

from shared.errors import ConflictError, RepositoryError
from shared.forge import fingerprint, objects, readers, source, worktree
from shared.forge.fingerprint import Remembered
from shared.forge.git import GitError, run_git
from shared.forge.port import Checkout, Commit, Comparison, Diff, RepositoryInfo
from shared.forge.private import make_private, remove_tree
from shared.forge.source import OBJECT_ID, Source, TreeState, locate
from shared.types import sha256_hex

SHORT_ID = re.compile(r"[0-9a-f]{7,39}")


@dataclass(frozen=True)
class _Facts:
    """What git said about a repository and a branch of it. Notes stand `before` and `after` those about the working tree."""

    source: Source
    branch: str | None
    commit: str
    checked_out: str
    before: tuple[str, ...]
    after: tuple[str, ...]


class LocalForge:
    """Works on local paths. `data_dir/repositories` keeps git folders of our own that only borrow objects."""

    name = "local"

    def __init__(self, data_dir: Path) -> None:
        self._readers = data_dir.absolute() / "repositories"
        self._making = asyncio.Lock()
        self._known: Remembered[_Facts] = Remembered(64)
        self._trees: Remembered[TreeState] = Remembered(16)
        self._diffs: WeakKeyDictionary[Checkout, Diff] = WeakKeyDictionary()

    async def inspect(self, repo: str, branch: str | None = None) -> RepositoryInfo:
        """Asks git only when something in the repository changed since it was asked last."""
        facts = await self._facts(repo, branch)
        changes = await self._changes(facts)
        return RepositoryInfo(facts.source.name, facts.branch, facts.commit, (*facts.before, *changes, *facts.after))

    async def _facts(self, repo: str, branch: str | None) -> _Facts:
        asked_ns = time.time_ns()
        sign = await asyncio.to_thread(fingerprint.of_repository, repo, branch)
        known = self._known.get((repo, branch), sign)
        if known is None:
            known = await self._ask(repo, branch)
            self._known.put((repo, branch), known, sign, asked_ns)
        return known

    async def _ask(self, repo: str, branch: str | None) -> _Facts:
        found = await locate(repo)
        reader = await self._reader(found)
        default = await source.current_branch(found)
        commit = await self._resolve(found, reader, branch)
        before = () if default is not None else ("HEAD is detached: the work starts from its commit.",)
        checked_out = await source.read_ref(found, "HEAD") or commit
        try:
            submodules = await objects.submodules(reader, commit)
        except GitError as exc:
            raise source.damaged(found.name, f"the files of commit {commit[:12]} cannot be read") from exc
        after = f"Submodules are left out: {', '.join(submodules[:5])}{' …' if len(submodules) > 5 else ''}."
        return _Facts(found, default, commit, checked_out, before, (after,) if submodules else ())

    async def _changes(self, facts: _Facts) -> tuple[str, ...]:
        """Sentences about what is not committed."""
        key, asked_ns = (facts.source, facts.checked_out), time.time_ns()
        seen = self._trees.peek(key)
        sign = await asyncio.to_thread(fingerprint.of_files, seen.paths) if seen and seen.paths is not None else None
        known = self._trees.get(key, sign)
        if known is None:
            known = await source.working_tree(facts.source, await self._reader(facts.source), facts.checked_out)
            sign = await asyncio.to_thread(fingerprint.of_files, known.paths) if known.paths is not None else None
            self._trees.put(key, known, sign, asked_ns)
        return known.notes

    async def read_file(self, repo: str, commit: str, path: str) -> bytes | None:
        """A regular file at a commit; None for what is missing, a folder, a link or a submodule."""
        return await objects.read_file(await self._reader(await locate(repo)), _checked(commit), path)

    async def list_files(self, repo: str, commit: str) -> list[str]:
        """Names that are not UTF-8 keep their bytes as surrogate escapes."""
        return await objects.list_files(await self._reader(await locate(repo)), _checked(commit))

    async def checkout(self, repo: str, base_commit: str, patch: bytes, folder: Path, git_dir: Path) -> Checkout:
        found = await locate(repo)
        await make_private(git_dir, found.objects, found.object_format)
        await self._index(found, git_dir, base_commit, patch)
        await asyncio.to_thread(remove_tree, folder)
        folder.mkdir(parents=True)
        try:
            await run_git("checkout-index", "--all", "--index", "--quiet", git_dir=git_dir, work_tree=folder, timeout_s=600)
        except GitError as exc:
            raise _unreadable(found, base_commit) from exc
        made = Checkout(folder, git_dir, base_commit)
        # An earlier one in the same folder is equal to it, and may still be alive.
        self._diffs.pop(made, None)
        return made

    async def diff(self, checkout: Checkout) -> Diff:
        """Compared only when something changed since the last time."""
        changed = await worktree.record(checkout.folder, checkout.git_dir, len(checkout.base_commit))
        if changed or (known := self._diffs.get(checkout)) is None:
            known = Diff(checkout.base_commit, *await worktree.compare(checkout.git_dir, checkout.base_commit))
            self._diffs[checkout] = known
        return known

    async def compare(self, repo: str, head: str, base: str | None = None) -> Comparison:
        found = await locate(repo)
        reader = await self._reader(found)
        newer = await self._resolve(found, reader, head)
        older = await self._resolve(found, reader, base) if base is not None else None
        try:
            left = await objects.left_at(reader, newer, older)
            patch, stats = await worktree.compare(reader, left, newer)
        except GitError as exc:
            raise _unreadable(found, newer) from exc
        return Comparison(newer, Diff(left, patch, stats))

    async def commit_id(self, repo: str, commit: Commit, git_dir: Path) -> str:
        found = await locate(repo)
        await make_private(git_dir, found.objects, found.object_format)
        await self._index(found, git_dir, commit.base_commit, commit.patch)
        return await objects.write_commit(git_dir, commit)

    async def push(self, repo: str, commit_id: str, branch: str, git_dir: Path) -> None:
        found = await locate(repo)
        ref = await _branch_ref(branch)
        _checked(commit_id)
        if not await self._is_free(found, branch, commit_id):
            return
        await objects.copy_commit(git_dir, commit_id, found)
        nothing = "0" * len(commit_id)
        who = {"GIT_COMMITTER_NAME": "Persevere", "GIT_COMMITTER_EMAIL": "persevere@localhost"}
        durable = ("core.fsync=reference",)
        try:
            await run_git("update-ref", "-m", "persevere", ref, commit_id, nothing, git_dir=found.git_dir, env=who, config=durable)
        except GitError as exc:
            if await self._is_free(found, branch, commit_id):
                raise _not_created(found, branch, exc) from exc

    async def branch_head(self, repo: str, branch: str) -> str | None:
        return await source.read_ref(await locate(repo), await _branch_ref(branch))

    async def _is_free(self, found: Source, branch: str, commit_id: str) -> bool:
        """False when the branch is already there with the commit; `ConflictError` when it points elsewhere."""
        there = await source.read_ref(found, f"refs/heads/{branch}")
        if there not in (None, commit_id):
            raise ConflictError(
                f"The branch {branch} already exists in {found.name} and points to another commit",
                f"Look at it, then delete or rename it: git -C '{found.name}' branch -m {branch} NEW-NAME",
                code="branch_exists",
            )
        return there is None

    async def _reader(self, found: Source) -> Path:
        """Our own git folder for reading this repository's objects; made once."""
        key = sha256_hex(f"{found.object_format}\n".encode() + os.fsencode(found.objects))[:24]
        reader = self._readers / key
        async with self._making:
            if not (reader / "info" / "attributes").is_file():
                # Made aside and moved into place: other processes see all of it or nothing.
                new = self._readers / f"{key}.{os.getpid()}"
                await make_private(new, found.objects, found.object_format)
                try:
                    new.rename(reader)
                except OSError:
                    remove_tree(new)
                await asyncio.to_thread(readers.prune, self._readers)
        await asyncio.to_thread(readers.mark_used, reader)
        return reader

    async def _resolve(self, found: Source, reader: Path, branch: str | None) -> str:
        names = ["HEAD"] if branch is None else [f"refs/heads/{branch}", f"refs/remotes/{branch}", f"refs/remotes/origin/{branch}"]
        names += [] if branch is None else [f"refs/tags/{branch}"]
        for name in names:
            target = await source.read_ref(found, name)
            if target is not None:
                break
        else:
            target = branch if branch is not None and (OBJECT_ID.fullmatch(branch) or await _is_short_id(reader, branch)) else None
        if target is None:
            raise await _no_commit(found, branch)
        commit = await objects.peel(reader, target)
        if commit is None:
            raise source.damaged(found.name, f"commit {target[:12]} cannot be read")
        return commit

    async def _index(self, found: Source, git_dir: Path, base_commit: str, patch: bytes) -> None:
        """Make the index of our git folder base plus patch."""
        try:
            await run_git("read-tree", _checked(base_commit), git_dir=git_dir)
        except GitError as exc:
            raise _unreadable(found, base_commit) from exc
        if not patch.strip():
            return
        try:
            await run_git("apply", "--cached", "--binary", "--whitespace=nowarn", "-", git_dir=git_dir, stdin=patch)
        except GitError as exc:
            raise RepositoryError(
                f"The patch does not apply to commit {base_commit[:12]}",
                "Make the patch against that commit, in git's format.",
                code="patch_does_not_apply",
            ) from exc


async def _is_short_id(reader: Path, name: str) -> bool:
    return SHORT_ID.fullmatch(name) is not None and await objects.peel(reader, name) is not None


def _checked(commit: str) -> str:
    if not OBJECT_ID.fullmatch(commit):
        raise RepositoryError("That is not a full commit id", "Give all 40 (or 64) hexadecimal digits.", code="bad_commit_id")
    return commit


async def _branch_ref(branch: str) -> str:
    ref = f"refs/heads/{branch}"
    if "\0" in branch or (await run_git("check-ref-format", ref, timeout_s=20, check=False)).exit_code != 0:
        raise RepositoryError("git does not allow that branch name", "Use letters, digits, hyphens and slashes.", code="bad_branch_name")
    return ref


async def _no_commit(found: Source, branch: str | None) -> RepositoryError:
    if branch is not None:
        shown = branch[:100]
        return RepositoryError(
            f"{found.name} has no branch {shown!r}", "Name a branch that exists: git branch --all.", code="branch_not_found"
        )
    if await source.has_refs(found):
        text = f"HEAD of {found.name} points to a branch that has no commit"
        return RepositoryError(text, "Check out a branch that has one, or name it.", code="repository_empty")
    return RepositoryError(f"{found.name} has no commit yet", "Make a first commit: git add . && git commit.", code="repository_empty")


def _unreadable(found: Source, commit: str) -> RepositoryError:
    pack = found.objects / "pack"
    if any(pack.glob("*.promisor")):
        text = f"{found.name} is a partial clone and files of commit {commit[:12]} are not in it"
        return RepositoryError(text, f"Fetch them: git -C '{found.name}' fetch --refetch --no-filter", code="repository_partial")
    return source.damaged(found.name, f"the files of commit {commit[:12]} cannot be read")


def _not_created(found: Source, branch: str, exc: GitError) -> RepositoryError | ConflictError:
    if "cannot create" in exc.stderr and "exists" in exc.stderr:
        text = f"The branch {branch} cannot be created beside a branch whose name is the beginning of it"
        return ConflictError(text, f"Rename that branch: git -C '{found.name}' branch -m OLD NEW", code="branch_exists")
    if ".lock" in exc.stderr and "exists" in exc.stderr.lower():
        text = f"Another git process is writing branches of {found.name}"
        return RepositoryError(text, "Wait for it; if there is none, remove the .lock file git names.", code="repository_locked")
    return RepositoryError(
        f"The branch {branch} could not be written to {found.name}", "Check that you may write there.", code="repository_not_writable"
    )
