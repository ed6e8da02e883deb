"""The state of a task run. Plain data; the specialists read and write a part of it each."""

from __future__ import annotations

from typing import TypedDict

from shared.types import Json


class SupervisorState(TypedDict, total=False):
    base_commit: str
    plan: Json | None
    risk: Json
    nothing_to_do: str | None
    feedback: str | None
    approved_plan_sha256: str | None
    patch_sha256: str | None
    approved_sha256: str | None
    diff_stats: Json
    answer: str | None
    notes: list[str]
    test_results: Json | None
    test_notes: list[str]
    """What the change did to the tests themselves: deleted or newly skipped ones, changed settings."""
    draft: bool
    branch: str | None
    head_commit: str | None
    pr_url: str | None
    repairs: int
    """How often red tests or a reviewer's blockers went back to the coder since a person was asked."""
    handed_over: str | None
    """SHA-256 of the recipe's plan whose change a model goes on with, because the tests were red."""
    review: Json | None
    """The reviewer's, as `agents.reviewer.state` says; `of` names the change it is about."""
    revised: bool
    """The reviewer's blockers went back to the coder once."""
    diff_risk: Json
    """Of the change as it was asked about last."""
    branch_only: bool
    """A person takes the branch over: no pull request."""
    secrets: Json | None
    """What of the change `of` looks like a secret, as `agents.coder.state` says."""
    secret_rounds: int
    widened: Json | None
    """What a model asks to be added to the approved plan {files, reason}, or None."""
    draft_sha256: str | None
    """Of the coder's work so far, kept while a wider plan is decided on."""
    edit_problem: str | None
    """Why the patch that a person sent last could not be used, until they decide again."""
    gate: Json | None
    """The open gate {approval_id, gate, content_sha256}, or None."""
    decision: Json | None
    """The last decision {decision, comment, by, gate, approval_id}."""
    revisions: dict[str, int]
    """How often each gate was asked."""
    rejected: list[str]
    """Content hashes that were turned down: offering one again ends the loop."""
