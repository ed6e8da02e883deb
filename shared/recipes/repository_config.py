"""A repository's `.persevere.yml`: commands, targets, approval rules, protected files, budgets."""

from __future__ import annotations

from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from shared.errors import RepositoryError
from shared.types import Gate, RiskLevel

FILE_NAME = ".persevere.yml"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class NamedCommand(_Section):
    """A command a person may ask for by name. `{target}` in `run` is replaced by the chosen target."""

    run: list[str] | str
    targets: list[str] = Field(default_factory=list)
    risk: RiskLevel = RiskLevel.HIGH
    description: str = ""


class ApprovalRule(_Section):
    """An extra rule: a change that touches one of `paths` (glob) or runs one of `commands` needs this approval."""

    name: str
    paths: list[str] = Field(default_factory=list)
    commands: list[str] = Field(default_factory=list)
    gate: Gate = Gate.DIFF
    risk: RiskLevel = RiskLevel.HIGH
    approvers: list[str] = Field(default_factory=list)


class Budget(_Section):
    """What a task may use at most; it lowers the task's own budget and raises none. `steps` are calls of a model."""

    time_s: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    cost_usd: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    tokens: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    steps: float | None = Field(default=None, ge=0, allow_inf_nan=False)


class RepositoryConfig(_Section):
    version: int = 1
    setup: list[str] = Field(default_factory=list)
    test: list[str] = Field(default_factory=list)
    lint: list[str] = Field(default_factory=list)
    commands: dict[str, NamedCommand] = Field(default_factory=dict)
    approvals: list[ApprovalRule] = Field(default_factory=list)
    never_touch: list[str] = Field(default_factory=list)
    reviewers: list[str] = Field(default_factory=list)
    budget: Budget = Field(default_factory=Budget)


def parse_repository_config(data: bytes | None) -> RepositoryConfig:
    """Read the bytes of `.persevere.yml` (None: the file does not exist).

    Raises `RepositoryError` with the line number when the YAML or a field is wrong.
    """
    if data is None or not data.strip():
        return RepositoryConfig()
    try:
        node = yaml.compose(data, Loader=yaml.SafeLoader)
        raw: Any = yaml.safe_load(data)
    except (yaml.YAMLError, UnicodeDecodeError, ValueError, RecursionError) as exc:
        mark = getattr(exc, "problem_mark", None)
        line = f" line {mark.line + 1}" if mark else ""
        raise _unreadable(f"{FILE_NAME}{line}: not valid YAML") from exc
    if raw is None:
        return RepositoryConfig()
    if not isinstance(raw, dict):
        raise _unreadable(f"{FILE_NAME} line 1: expected a mapping of settings")
    try:
        return RepositoryConfig.model_validate(raw)
    except ValidationError as exc:
        first = exc.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise _unreadable(f"{FILE_NAME} line {_line_of(node, first['loc'])}: {where}: {first['msg']}") from exc


def _unreadable(message: str) -> RepositoryError:
    return RepositoryError(message, f"Correct {FILE_NAME} on the base branch and try again.", code="repository_config_invalid")


def _line_of(node: Any, location: tuple[int | str, ...]) -> int:
    line = int(node.start_mark.line) + 1
    for part in location:
        if isinstance(node, yaml.MappingNode):
            for key, value in node.value:
                if key.value == str(part):
                    line, node = key.start_mark.line + 1, value
                    break
            else:
                return line
        elif isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
            node = node.value[part]
            line = node.start_mark.line + 1
        else:
            return line
    return line
