"""Bodies and answers about approvals."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field, StrictInt

from agent_orchestrator.dependencies import Body
from shared.store.records import Approval
from shared.types import ApprovalStatus, Gate, Json, Risk


class DecisionRequest(Body):
    """`revision` is the one that was read; `edited` is `{plan}` or `{patch}`, for `edit`. `take_over`: push the branch, no pull request."""

    decision: Literal["approve", "reject", "edit", "respond", "take_over"]
    revision: StrictInt = Field(ge=1)
    comment: str | None = Field(default=None, max_length=64_000)
    edited: Json | None = None


class ApprovalView(BaseModel):
    approval_id: str
    task_id: str
    status: ApprovalStatus
    gate: Gate
    title: str
    subject: Json
    risk: Risk
    revision: int
    content_sha256: str
    approvers: list[str]
    votes: list[Json]
    decision: Json | None
    created_at: datetime
    expires_at: datetime | None
    decided_at: datetime | None

    @classmethod
    def of(cls, approval: Approval) -> ApprovalView:
        fields = {name: getattr(approval, name) for name in Approval.model_fields if name != "id"}
        return cls(approval_id=approval.id, **fields)


class ApprovalList(BaseModel):
    items: list[ApprovalView]
    next_cursor: str | None = None
