"""What the reviewer reads and writes. Plain data only."""

from __future__ import annotations

from typing import TypedDict

from shared.types import Json


class ReviewerState(TypedDict, total=False):
    base_commit: str
    plan: Json | None
    patch_sha256: str | None
    """Of the task's own change; None: something else is reviewed, and the review is the task's result."""
    test_results: Json | None
    answer: str | None
    """What static analysis found, where it ran; then the report."""
    review: Json | None
    """{of, subject, by, verdict, summary, comments: [{severity, file, line, comment, suggestion}], left_out}.

    `of` is the hash of the change, or the commit. verdict: looks_good, needs_changes, or none: there is none, as the summary says.
    """
