"""Bodies and answers about tasks."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints, field_validator

from agent_orchestrator.dependencies import Body
from shared.store.records import Artifact, AuditEntry, Task
from shared.types import ErrorInfo, Json, Plan, Stage, TaskStatus, TestResults

Line = Annotated[str, StringConstraints(min_length=1, max_length=2000)]


TimeBudget = Annotated[float | None, Field(default=None, gt=0, le=30 * 24 * 3600, allow_inf_nan=False)]
CostBudget = Annotated[float | None, Field(default=None, ge=0, allow_inf_nan=False)]


class TaskRequest(Body):
    """A structured task. `repo` is a folder of the server's machine; budgets in seconds and US dollars."""

    prompt: str = Field(max_length=64_000)
    repo: str = Field(min_length=1, max_length=4096)
    branch: str | None = Field(default=None, min_length=1, max_length=500)
    workflow: str | None = Field(default=None, max_length=100)
    title: str | None = Field(default=None, min_length=1, max_length=500)
    acceptance_criteria: list[Line] = Field(default_factory=list, max_length=100)
    time_budget_s: TimeBudget = None
    cost_budget_usd: CostBudget = None
    model: str | None = Field(default=None, max_length=200)
    project_id: str | None = Field(default=None, min_length=1, max_length=200)
    priority: Literal["interactive", "batch"] = "interactive"

    @field_validator("prompt")
    @classmethod
    def _says_something(cls, value: str) -> str:
        if not value.strip():
            raise ValueError("the prompt is empty")
        return value


class TaskAccepted(BaseModel):
    task_id: str
    status: TaskStatus
    message: str


class RetryRequest(Body):
    """Budgets, where given, are what the task may use in all from now on, earlier grants included: more than it has used already."""

    hint: str | None = Field(default=None, max_length=64_000)
    cost_budget_usd: CostBudget = None
    time_budget_s: TimeBudget = None
    model: str | None = Field(default=None, min_length=1, max_length=200)


class MessageToTask(Body):
    message: str = Field(max_length=64_000)


class TaskView(BaseModel):
    """A task. `approval_id` is the question it waits for; `elapsed_s` seconds since it was made, until its end."""

    task_id: str
    project_id: str | None
    session_id: str | None
    title: str
    prompt: str
    repo: str
    branch: str | None
    base_branch: str | None
    base_commit: str | None
    workflow: str
    status: TaskStatus
    stage: Stage
    plan: Plan | None
    diff_summary: Json | None
    test_results: TestResults | None
    pr_url: str | None
    audio_url: str | None = None
    outcome: str | None
    cost: Json
    error: ErrorInfo | None
    waiting_for: str | None
    approval_id: str | None = None
    elapsed_s: float
    created_at: datetime
    updated_at: datetime
    finished_at: datetime | None

    @classmethod
    def of(cls, task: Task, now: datetime, approval_id: str | None = None) -> TaskView:
        fields = {name: getattr(task, name) for name in Task.model_fields if name not in ("id", "user_id", "request")}
        elapsed = ((task.finished_at or now) - task.created_at).total_seconds()
        return cls(task_id=task.id, approval_id=approval_id, elapsed_s=round(max(0.0, elapsed), 3), **fields)


class TaskList(BaseModel):
    items: list[TaskView]
    next_cursor: str | None = None


class EventList(BaseModel):
    """Events in order, as `{seq, type, task_id, timestamp, stage, …}`. `next_cursor` is the `after` of the next page."""

    items: list[dict[str, Any]]
    next_cursor: str | None = None


class DiffView(BaseModel):
    """The patch in git's format against `base_commit`."""

    task_id: str
    base_commit: str | None
    stats: Json | None
    diff_text: str


class TestsView(BaseModel):
    __test__ = False

    task_id: str
    results: TestResults | None
    outputs: list[str] = Field(description="Names of the artifacts with the runners' output.")


class ArtifactView(BaseModel):
    name: str
    media_type: str
    size: int
    sha256: str
    created_at: datetime

    @classmethod
    def of(cls, artifact: Artifact) -> ArtifactView:
        return cls(**artifact.model_dump(exclude={"task_id"}))


class ArtifactList(BaseModel):
    items: list[ArtifactView]
    next_cursor: str | None = None


class AuditList(BaseModel):
    items: list[AuditEntry]
    next_cursor: str | None = None
