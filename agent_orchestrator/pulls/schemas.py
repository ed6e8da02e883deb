"""Answers about local pull requests."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel

from shared.store.records import PullRequest


class PullView(BaseModel):
    """A pull request of the local forge: a branch of `repo` and this record. `diff_text` only when it is asked for alone."""

    pull_id: str
    number: int
    repo: str
    branch: str
    base_branch: str | None
    base_commit: str
    head_commit: str
    title: str
    body: str
    draft: bool
    state: Literal["open", "merged", "closed"]
    task_id: str
    created_at: datetime
    diff_text: str | None = None

    @classmethod
    def of(cls, pull: PullRequest, diff_text: str | None = None) -> PullView:
        return cls(pull_id=pull.id, diff_text=diff_text, **pull.model_dump(exclude={"id"}))


class PullList(BaseModel):
    items: list[PullView]
    next_cursor: str | None = None
