"""The forge as a run sees it: what it changes outside is done only while the run holds its lease."""

from __future__ import annotations

from pathlib import Path

from agent_orchestrator.runtime.lease import Lease
from shared.forge.port import Checkout, Commit, Comparison, Diff, Forge, RepositoryInfo


class FencedForge:
    """Implements `Forge`. It looks at the lease right before a push, which makes a branch or finds it, never moves one."""

    def __init__(self, forge: Forge, lease: Lease) -> None:
        self._forge, self._lease = forge, lease
        self.name = forge.name

    async def inspect(self, repo: str, branch: str | None = None) -> RepositoryInfo:
        return await self._forge.inspect(repo, branch)

    async def read_file(self, repo: str, commit: str, path: str) -> bytes | None:
        return await self._forge.read_file(repo, commit, path)

    async def list_files(self, repo: str, commit: str) -> list[str]:
        return await self._forge.list_files(repo, commit)

    async def checkout(self, repo: str, base_commit: str, patch: bytes, folder: Path, git_dir: Path) -> Checkout:
        return await self._forge.checkout(repo, base_commit, patch, folder, git_dir)

    async def diff(self, checkout: Checkout) -> Diff:
        return await self._forge.diff(checkout)

    async def compare(self, repo: str, head: str, base: str | None = None) -> Comparison:
        return await self._forge.compare(repo, head, base)

    async def commit_id(self, repo: str, commit: Commit, git_dir: Path) -> str:
        return await self._forge.commit_id(repo, commit, git_dir)

    async def push(self, repo: str, commit_id: str, branch: str, git_dir: Path) -> None:
        """`FencedError`, and nothing is pushed, when the lease was lost."""
        async with self._lease.transaction():
            pass
        await self._forge.push(repo, commit_id, branch, git_dir)

    async def branch_head(self, repo: str, branch: str) -> str | None:
        return await self._forge.branch_head(repo, branch)
