"""Pull requests of the local forge: records in our own store."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager
from typing import Protocol

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.store import pull_requests
from shared.store.records import PullRequest
from shared.types import new_id


class Writer(Protocol):
    """Where records are written: the database, or a run's lease on it, which refuses a stale run."""

    def transaction(self) -> AbstractAsyncContextManager[AsyncConnection]: ...


class LocalPullRequests:
    """Opens pull requests of one task. `base_url` is where the console shows them."""

    def __init__(self, database: Writer, base_url: str, task_id: str) -> None:
        self._database = database
        self._base_url = base_url.rstrip("/")
        self._task_id = task_id

    async def open(
        self,
        *,
        repo: str,
        branch: str,
        base_branch: str | None,
        base_commit: str,
        head_commit: str,
        title: str,
        body: str,
        draft: bool,
    ) -> str:
        """The URL. The first record of the task and branch stays; opening it again answers its URL."""
        record = PullRequest(
            id=new_id("pr"),
            number=0,
            repo=repo,
            branch=branch,
            base_branch=base_branch,
            base_commit=base_commit,
            head_commit=head_commit,
            title=title,
            body=body,
            draft=draft,
            task_id=self._task_id,
        )
        async with self._database.transaction() as tx:
            kept = await pull_requests.open(tx, record)
        return f"{self._base_url}/pulls/{kept.id}"
