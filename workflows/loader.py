"""Reads `workflows/*.yaml`: what kinds of work there are, with their stages, gates and limits."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from shared.errors import NotFoundError, SettingsError

StageName = Literal["planner", "coder", "tester", "review", "pr"]
GateName = Literal["plan", "diff", "pr"]


class WorkflowLimits(BaseModel):
    """Times in seconds; `repairs`: how often red tests go back to the coder. A person who sends a plan or a change back is not limited.

    `cost_usd`, `tokens`, `steps` (calls of a model) and `time_s` (of work) are what a task may use before a person is asked for more.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    test_timeout_s: float = Field(default=900, gt=0)
    setup_timeout_s: float = Field(default=600, gt=0)
    repairs: int = Field(default=2, ge=0, le=10)
    cost_usd: float = Field(default=5, ge=0)
    tokens: int = Field(default=5_000_000, ge=0)
    steps: int = Field(default=300, ge=0)
    time_s: float = Field(default=7200, gt=0)


class Workflow(BaseModel):
    """`review`: a model reads the change (or, without `pr`, what is to be reviewed) and comments; without a model the stage is passed."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    title: str
    stages: list[StageName]
    gates: list[GateName]
    diff_gate: Literal["after_tests", "before_tests"] = "after_tests"
    limits: WorkflowLimits = WorkflowLimits()

    @model_validator(mode="after")
    def _stages_make_sense(self) -> Workflow:
        order: list[StageName] = ["planner", "coder", "tester", "review", "pr"]
        if "planner" not in self.stages:
            raise ValueError("stages must contain planner")
        if self.stages != [stage for stage in order if stage in self.stages]:
            raise ValueError("stages must be in the order planner, coder, tester, review, pr, each once")
        if "review" in self.stages and "coder" not in self.stages:
            raise ValueError("a review needs the coder before it")
        if "pr" in self.stages and "coder" not in self.stages:
            raise ValueError("a pull request needs the coder's change")
        if "diff" in self.gates and "coder" not in self.stages:
            raise ValueError("a diff gate needs the coder")
        return self


class Workflows(BaseModel):
    model_config = ConfigDict(frozen=True)

    by_name: Mapping[str, Workflow]

    def get(self, name: str) -> Workflow:
        """The workflow; `NotFoundError` lists the valid names."""
        try:
            return self.by_name[name]
        except KeyError:
            raise NotFoundError(f"There is no workflow {name!r}.", f"Choose one of: {', '.join(sorted(self.by_name))}.") from None


@lru_cache(maxsize=4)
def load_workflows(folder: Path | None = None) -> Workflows:
    """Every `*.yaml` in the folder. `SettingsError` names the file and what is wrong with it."""
    folder = folder or Path(__file__).parent
    found: dict[str, Workflow] = {}
    for path in sorted(folder.glob("*.yaml")):
        try:
            found[path.stem] = Workflow.model_validate({"name": path.stem, **yaml.safe_load(path.read_bytes())})
        except (yaml.YAMLError, TypeError, ValidationError) as exc:
            detail = exc.errors()[0]["msg"] if isinstance(exc, ValidationError) else "not a mapping of settings"
            raise SettingsError(f"The workflow {path.name} is wrong: {detail}.", "Correct the file and start again.") from exc
    return Workflows(by_name=found)
