"""What the planner reads and writes. Plain data only."""

from __future__ import annotations

from typing import TypedDict

from shared.types import Json


class PlannerState(TypedDict, total=False):
    base_commit: str
    feedback: str | None
    """A person's comment on the plan before, or None."""
    rejected: list[str]
    """Hashes of plans that were turned down."""
    plan: Json | None
    risk: Json
    nothing_to_do: str | None
    """Why nothing has to be changed, or None."""
    by_model: bool
    """No recipe makes this plan, and there is a model."""
    patch_sha256: str | None
    draft_sha256: str | None
    test_results: Json | None
    repairs: int
