"""Values that every room may use: enumerations, identifiers, plans, test results and commands."""

from __future__ import annotations

import hashlib
import json
import secrets
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

Json = dict[str, Any]


class TaskStatus(StrEnum):
    """Where a task is. Not an order: a task may go back to an earlier one."""

    QUEUED = "queued"
    PLANNING = "planning"
    PLAN_REVIEW = "plan_review"
    CODING = "coding"
    TESTING = "testing"
    DIFF_REVIEW = "diff_review"
    CREATING_PR = "creating_pr"
    COMPLETED = "completed"
    FAILED = "failed"
    CANCELLED = "cancelled"
    WAITING = "waiting"

    @property
    def is_final(self) -> bool:
        return self in (TaskStatus.COMPLETED, TaskStatus.FAILED, TaskStatus.CANCELLED)


class Stage(StrEnum):
    """What a task is doing, as events name it."""

    QUEUE = "queue"
    CLONING = "cloning"
    DEPENDENCIES = "dependencies"
    PLANNING = "planning"
    CODING = "coding"
    TESTING = "testing"
    REVIEW = "review"
    PR_CREATION = "pr_creation"
    REPORT = "report"


class Gate(StrEnum):
    """What an approval is about."""

    PLAN = "plan"
    DIFF = "diff"
    PR = "pr"
    COMMAND = "command"
    BUDGET = "budget"
    POLICY = "policy"


class ApprovalStatus(StrEnum):
    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    SUPERSEDED = "superseded"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


class RiskLevel(StrEnum):
    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"
    CRITICAL = "critical"

    @property
    def rank(self) -> int:
        return list(RiskLevel).index(self)


class Value(BaseModel):
    """Base of all plain values: immutable, unknown fields refused."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Risk(Value):
    level: RiskLevel = RiskLevel.LOW
    score: float = 0.0
    reasons: list[str] = Field(default_factory=list)


class PlanStep(Value):
    id: str
    title: str
    files: list[str] = Field(default_factory=list)
    detail: str = ""


class RecipeChoice(Value):
    """The recipe a plan was made by and the arguments it will be applied with."""

    name: str
    arguments: Json = Field(default_factory=dict)


class Plan(Value):
    """What is going to be done; its canonical JSON is what a plan approval hashes."""

    summary: str
    steps: list[PlanStep] = Field(default_factory=list)
    acceptance_criteria: list[str] = Field(default_factory=list)
    tests: list[str] = Field(default_factory=list)
    risks: list[str] = Field(default_factory=list)
    open_questions: list[str] = Field(default_factory=list)
    recipe: RecipeChoice | None = None


class TestFailure(Value):
    __test__ = False
    name: str
    message: str = ""


Verdict = Literal["passed", "failed", "none", "error", "timeout"]


class TestResults(Value):
    """One comparison of a change with its base. `duration_s` in seconds; `failing_before` and `newly_failing` are test names."""

    __test__ = False
    verdict: Verdict
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    duration_s: float = 0.0
    commands: list[str] = Field(default_factory=list)
    failures: list[TestFailure] = Field(default_factory=list)
    failing_before: list[str] = Field(default_factory=list)
    newly_failing: list[str] = Field(default_factory=list)
    reason: str = ""


class ErrorInfo(Value):
    """Why a task ended badly and what a person can do next."""

    code: str
    message: str
    next_step: str = ""


class CommandResult(Value):
    """What one command did. `exit_code` is None when it was stopped; `duration_s` in seconds."""

    exit_code: int | None
    stdout: str = ""
    stderr: str = ""
    duration_s: float = 0.0
    stopped_by: Literal["timeout", "memory", "output", "disk", "cancelled"] | None = None
    truncated: bool = False

    @property
    def ok(self) -> bool:
        return self.exit_code == 0 and self.stopped_by is None


def utcnow() -> datetime:
    return datetime.now(UTC)


def new_id(prefix: str) -> str:
    """A short, unguessable identifier such as `task_k3v9x2m1q8ab` (60 bits)."""
    alphabet = "0123456789abcdefghjkmnpqrstvwxyz"
    return prefix + "_" + "".join(secrets.choice(alphabet) for _ in range(12))


def canonical_json(value: Any) -> bytes:
    """UTF-8 JSON with sorted keys and no spaces: what hashes are computed over."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def sha256_hex(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
