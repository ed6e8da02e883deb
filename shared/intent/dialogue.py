"""What the last thing the assistant said expects of the person."""

from __future__ import annotations

import re
from collections.abc import Sequence
from enum import StrEnum

from shared.intent.port import Turn


class Expectation(StrEnum):
    NOTHING = "nothing"
    APPROVAL = "approval"
    """A decision about something was asked for."""
    ANSWER = "answer"
    """A question was asked."""
    WORK = "work"
    """Work on a task was reported."""


_APPROVAL = re.compile(
    r"\bdo you approve\b|\bapprove (it |this |them )?or reject\b|\b(awaiting|waiting for|needs?) your (decision|approval"
    r"|review|sign-?off)\b"
    r"|\b(shall|should|may|can) i (go ahead|proceed|continue|merge|apply|deploy|execute|run|start)\b"
    r"|\b(ok|okay|ready) to (merge|proceed|apply|deploy)\b|\bplease (approve|confirm|sign off)\b|\b(approval"
    r"|decision) (is )?(required|needed)\b"
    r"|\byour (approval|decision|sign-?off)\b|\bapprove\b[^.?!]{0,80}\?|\bdo you (accept|agree to|sign off)\b|\bgo ahead with\b[^.]{0,80}\?"
)
_WORK = re.compile(
    r"\b(working on it|started|queued|running|is complete|completed|finished|stopped|failed|merged|in progress|on it"
    r"|picked up|cancelled|created)\b"
    r"|\b(job|task|run|build|ticket)\b"
)


def expectation(history: Sequence[Turn]) -> Expectation:
    """Looks at the last assistant turn only, and only if no later user turn answered it already."""
    for turn in reversed(history):
        if turn.role == "user":
            return Expectation.NOTHING
        if turn.role == "assistant":
            return _of(turn.content[-2_000:].lower())
    return Expectation.NOTHING


def _of(said: str) -> Expectation:
    if _APPROVAL.search(said):
        return Expectation.APPROVAL
    if said.rstrip().endswith("?") or re.search(r"\?\s", said[-400:]):
        return Expectation.ANSWER
    return Expectation.WORK if _WORK.search(said) else Expectation.NOTHING
