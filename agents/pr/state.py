"""What the pull request's specialist reads and writes. Plain data only; the patch itself is an artifact (agents.loop.patch)."""

from __future__ import annotations

from typing import TypedDict

from shared.types import Json


class PrState(TypedDict, total=False):
    base_commit: str
    plan: Json
    patch_sha256: str | None
    approved_sha256: str | None
    """SHA-256 of base commit, newline, patch as it was approved; anything else is refused."""
    test_results: Json | None
    draft: bool
    branch_only: bool
    """A person takes the branch over: no pull request is opened."""
    review: Json | None
    """The reviewer's, of the change `of`."""
    secrets: Json | None
    """What of the change `of` looks like a secret, as it was shown to whoever approved."""
    notes: list[str]
    branch: str | None
    head_commit: str | None
    pr_url: str | None
