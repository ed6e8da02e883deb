"""A plan as a model gives it, and what must be right about it before a person is asked."""

from __future__ import annotations

from collections.abc import Iterable

from pydantic import BaseModel, ConfigDict, Field

from agents.loop.paths import clean
from shared.approvals.policy import path_matches
from shared.errors import InvalidRequestError
from shared.types import Plan, PlanStep


class DraftStep(BaseModel):
    """One step of the plan."""

    model_config = ConfigDict(extra="forbid")

    title: str = Field(min_length=1, description="What is done, in one line.")
    files: list[str] = Field(default_factory=list, description="Every file this step changes, makes or removes: paths from the root.")
    detail: str = Field(default="", description="How it is done.")


class DraftPlan(BaseModel):
    """The plan of the change. Give it once, after reading what is needed."""

    model_config = ConfigDict(extra="forbid")

    summary: str = Field(min_length=1, max_length=500, description="One sentence in the imperative.")
    steps: list[DraftStep] = Field(min_length=1, max_length=40)
    acceptance_criteria: list[str] = Field(default_factory=list)
    tests: list[str] = Field(default_factory=list)
    risks: list[str] = Field(default_factory=list)
    open_questions: list[str] = Field(default_factory=list)


def to_plan(draft: DraftPlan, never_touch: Iterable[str], *, may_change: bool = True) -> Plan:
    """The typed plan. InvalidRequestError says what is wrong with a path."""
    if not may_change and any(step.files for step in draft.steps):
        raise InvalidRequestError(
            "This task only reports and changes no file.", "Plan steps without files; say in `detail` what to look at."
        )
    patterns = list(never_touch)
    steps = []
    for number, step in enumerate(draft.steps, 1):
        files = list(dict.fromkeys(clean(path) for path in step.files))
        for path in files:
            if any(mark in path for mark in "*?[") or path.endswith("/"):
                raise InvalidRequestError(f"{path} is a pattern.", "Name each file.")
            if any(path_matches(path, pattern) for pattern in patterns):
                raise InvalidRequestError(f"{path} must never be touched, as .persevere.yml says.", "Plan without it.")
        steps.append(PlanStep(id=str(number), title=step.title, files=files, detail=step.detail))
    return Plan(
        summary=draft.summary,
        steps=steps,
        acceptance_criteria=draft.acceptance_criteria,
        tests=draft.tests,
        risks=draft.risks,
        open_questions=draft.open_questions,
    )
