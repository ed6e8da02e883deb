"""Understanding a message: which intent, which kind of work, what is missing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, Protocol

from shared.types import Json


class Intent(StrEnum):
    """What a message is; the labels of recognition, not of the answer."""

    TASK_SUBMISSION = "task_submission"
    STATUS_QUERY = "status_query"
    CLARIFICATION = "clarification"
    APPROVAL_ACTION = "approval_action"
    CANCEL_MODIFY = "cancel_modify"
    GENERAL_QUERY = "general_query"


TASK_TYPES = (
    "feature_dev",
    "bug_fix",
    "refactor",
    "code_review",
    "dependency_update",
    "documentation",
    "test",
    "infrastructure",
    "investigation",
)


@dataclass(frozen=True)
class Turn:
    role: Literal["user", "assistant", "system"]
    content: str


@dataclass(frozen=True)
class Recognition:
    """`confidence` from 0 to 1; `decision` only for approval_action; `needs_clarification` for a task too vague to start."""

    intent: Intent
    confidence: float
    task_type: str | None = None
    needs_clarification: bool = False
    question: str | None = None
    decision: Literal["approve", "reject"] | None = None
    entities: Json | None = None
    """Named things: task ids, approval ids, paths, symbols."""
    recogniser: Literal["rules", "local", "llm"] = "rules"


class Recogniser(Protocol):
    async def recognise(self, message: str, history: Sequence[Turn] = ()) -> Recognition: ...
