"""What the coder reads and writes. Plain data only; the patch itself is the artifact `change.patch`."""

from __future__ import annotations

from typing import TypedDict

from shared.types import Json


class CoderState(TypedDict, total=False):
    base_commit: str
    plan: Json
    approved_plan_sha256: str | None
    """SHA-256 of the plan a person approved; None when the policy asked nobody."""
    patch_sha256: str | None
    """SHA-256 of base commit, newline, patch; None when nothing was changed."""
    diff_stats: Json
    answer: str | None
    """A report, from recipes that answer instead of changing."""
    notes: list[str]
