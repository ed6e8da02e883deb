"""Rows as plain values. `shared/store/tables.py` says how they are stored."""

from __future__ import annotations

from datetime import datetime
from functools import cached_property
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import to_json

from shared.types import (
    ApprovalStatus,
    ErrorInfo,
    Gate,
    Json,
    Plan,
    Risk,
    Stage,
    TaskStatus,
    TestResults,
    utcnow,
)


class Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Project(Record):
    """`budget` has the form of `shared.models.limits.PeriodLimits`; None: the operator's limits alone."""

    id: str
    user_id: str
    name: str
    repo: str
    default_branch: str | None = None
    settings: Json = Field(default_factory=dict)
    budget: Json | None = None
    created_at: datetime = Field(default_factory=utcnow)


class Session(Record):
    """A conversation. `draft` is an unfinished task request waiting for answers; `context` the last repository and branch."""

    id: str
    user_id: str
    project_id: str | None = None
    title: str = ""
    draft: Json | None = None
    context: Json = Field(default_factory=dict)
    created_at: datetime = Field(default_factory=utcnow)
    updated_at: datetime = Field(default_factory=utcnow)


class Message(Record):
    id: str
    session_id: str
    role: Literal["user", "assistant", "system"]
    content: str
    metadata: Json = Field(default_factory=dict)
    created_at: datetime = Field(default_factory=utcnow)


class Task(Record):
    """A piece of work. `request` holds what the conversation found: recipe, slots, acceptance criteria, budgets."""

    id: str
    user_id: str
    project_id: str | None = None
    session_id: str | None = None
    title: str
    prompt: str
    repo: str
    branch: str | None = None
    base_branch: str | None = None
    base_commit: str | None = None
    workflow: str = "refactor"
    request: Json = Field(default_factory=dict)
    status: TaskStatus = TaskStatus.QUEUED
    stage: Stage = Stage.QUEUE
    plan: Plan | None = None
    diff_summary: Json | None = None
    test_results: TestResults | None = None
    pr_url: str | None = None
    outcome: str | None = None
    cost: Json = Field(default_factory=lambda: {"tokens": 0, "cost_usd": 0.0})
    error: ErrorInfo | None = None
    waiting_for: str | None = None
    created_at: datetime = Field(default_factory=utcnow)
    updated_at: datetime = Field(default_factory=utcnow)
    finished_at: datetime | None = None


class Run(Record):
    """One attempt to bring a task forward: from its job to an interrupt or an end. `epoch` is the fencing token."""

    task_id: str
    thread_id: str
    state: Literal["idle", "queued", "running", "ended"] = "idle"
    epoch: int = 0
    attempt: int = 0
    worker: str | None = None
    worker_pid: int | None = None
    worker_host: str | None = None
    heartbeat_at: datetime | None = None
    checkpoint_id: str | None = None
    cancel_requested: bool = False
    poison_count: int = 0
    priority: int = 10


class Event(Record):
    """`data` holds the fields of the event's type; `seq` starts at 1 and has no gaps within a task."""

    task_id: str
    seq: int
    type: str
    stage: Stage
    data: Json
    created_at: datetime

    def public(self) -> Json:
        """The form clients see: `{seq, type, task_id, timestamp, stage, …data}`."""
        head: dict[str, Any] = {
            "seq": self.seq,
            "type": self.type,
            "task_id": self.task_id,
            "timestamp": self.created_at.isoformat(),
            "stage": self.stage.value,
        }
        return {**self.data, **head}

    @cached_property
    def wire(self) -> bytes:
        """`public()` as JSON on one line, made once however many clients get it."""
        return to_json(self.public(), fallback=str)

    @cached_property
    def frame(self) -> bytes:
        """The server-sent event: `id:` is the sequence number, `event:` the type, `data:` what `wire` is."""
        return b"id: %d\nevent: %b\ndata: %b\n\n" % (self.seq, self.type.encode(), self.wire)


class Approval(Record):
    """A question to a person about exactly one subject. `content_sha256` binds the answer to what was asked."""

    id: str
    task_id: str
    gate: Gate
    revision: int = 1
    status: ApprovalStatus = ApprovalStatus.PENDING
    title: str
    subject: Json
    risk: Risk
    content_sha256: str
    approvers: list[str] = Field(default_factory=list)
    votes: list[Json] = Field(default_factory=list)
    decision: Json | None = None
    created_at: datetime = Field(default_factory=utcnow)
    expires_at: datetime | None = None
    decided_at: datetime | None = None


class PullRequest(Record):
    """A pull request of the local forge: a branch and this record."""

    id: str
    number: int
    repo: str
    branch: str
    base_branch: str | None
    base_commit: str
    head_commit: str
    title: str
    body: str
    draft: bool = False
    state: Literal["open", "merged", "closed"] = "open"
    task_id: str
    created_at: datetime = Field(default_factory=utcnow)


class Effect(Record):
    """Something done outside, recorded before and after. `key` is stable across retries."""

    key: str
    task_id: str
    kind: str
    state: Literal["intended", "done"] = "intended"
    intent: Json
    result: Json | None = None
    created_at: datetime = Field(default_factory=utcnow)
    done_at: datetime | None = None


class Artifact(Record):
    task_id: str
    name: str
    media_type: str
    size: int
    sha256: str
    created_at: datetime = Field(default_factory=utcnow)


class AuditEntry(Record):
    seq: int
    at: datetime
    actor: str
    action: str
    task_id: str | None
    subject: str
    data: Json
    previous_hash: str
    hash: str


class OutboxMessage(Record):
    """A notification waiting to be delivered; `id` is the stable id a receiver can tell duplicates by."""

    id: str
    task_id: str | None
    channel: str
    event_type: str
    payload: Json
    state: Literal["pending", "sent", "dead"] = "pending"
    attempts: int = 0
    created_at: datetime = Field(default_factory=utcnow)
    sent_at: datetime | None = None
