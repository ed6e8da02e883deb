"""Bodies and answers about projects and repositories."""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

from agent_orchestrator.dependencies import Body
from shared.models.limits import PeriodLimits
from shared.store.records import Project
from shared.types import Json

BUDGET = "What tasks of the project may use in a day or a month (UTC) before a person is asked. The operator's limits can only be lowered."


class ProjectRequest(Body):
    """`repo` is a folder of the server's machine; `default_branch` None is the repository's own."""

    name: str = Field(min_length=1, max_length=200)
    repo: str = Field(min_length=1, max_length=4096)
    default_branch: str | None = Field(default=None, min_length=1, max_length=500)
    settings: Json = Field(default_factory=dict)
    budget: PeriodLimits | None = Field(default=None, description=BUDGET)


class ProjectChange(Body):
    """Only what is given is changed."""

    name: str | None = Field(default=None, min_length=1, max_length=200)
    default_branch: str | None = Field(default=None, min_length=1, max_length=500)
    settings: Json | None = None
    budget: PeriodLimits | None = Field(default=None, description=f"{BUDGET} The whole of it is replaced; null takes it away.")


class ProjectView(BaseModel):
    project_id: str
    name: str
    repo: str
    default_branch: str | None
    settings: Json
    budget: PeriodLimits | None
    created_at: datetime

    @classmethod
    def of(cls, project: Project) -> ProjectView:
        return cls(project_id=project.id, **project.model_dump(exclude={"id", "user_id"}))


class ProjectList(BaseModel):
    items: list[ProjectView]
    next_cursor: str | None = None


class RepositoryView(BaseModel):
    """A repository you have worked with."""

    repo: str
    name: str
    default_branch: str | None = None
    known_from: Literal["project", "task"]


class RepositoryList(BaseModel):
    items: list[RepositoryView]
    next_cursor: str | None = None
