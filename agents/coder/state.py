"""What the coder reads and writes. Plain data only; the patch itself is an artifact (agents.loop.patch)."""

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
    rejected: list[str]
    """Hashes of changes that were turned down: offering one again ends the work."""
    feedback: str | None
    """A person's comment on the change before, or None."""
    test_results: Json | None
    """Of the change before: red ones are to be repaired."""
    repairs: int
    """How often red tests or a reviewer's blockers went back since a person was asked."""
    handed_over: str | None
    """SHA-256 of the recipe's plan whose change a model goes on with."""
    review: Json | None
    """Of the change `of`: blockers are to be looked at once."""
    revised: bool
    """They were."""
    secrets: Json | None
    """What of the change `of` looks like a secret: {of, found: [{path, line, kind, marked}]}."""
    secret_rounds: int
    """How often that went back to the model since a person was asked."""
    widened: Json | None
    """What the plan was widened by {files, reason}: a person is asked before the work goes on."""
    draft_sha256: str | None
    """SHA-256 of base commit, newline, patch: the work so far while a wider plan is decided on."""
