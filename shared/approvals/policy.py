"""The approval policy: an ordered list of rules. What no rule matches is asked."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from shared.errors import SettingsError
from shared.types import Gate, Risk, RiskLevel

Decision = Literal["ask", "skip"]


class PolicyRule(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    gate: list[Gate]
    risk: list[RiskLevel]
    decision: Decision

    @field_validator("gate", "risk", mode="before")
    @classmethod
    def _one_or_many(cls, value: object) -> object:
        return [value] if isinstance(value, str) else value


class ApprovalPolicy(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    rules: list[PolicyRule]

    def decide(self, gate: Gate, risk: RiskLevel) -> tuple[Decision, str]:
        """Whether a person is asked, and the name of the rule that said so."""
        for rule in self.rules:
            if gate in rule.gate and risk in rule.risk:
                return rule.decision, rule.name
        return "ask", "no rule matched"


class PathRule(BaseModel):
    """A repository's own rule, as far as the assessment needs it."""

    model_config = ConfigDict(frozen=True)

    name: str
    paths: list[str]
    risk: RiskLevel
    approvers: list[str]


def load_policy(path: Path) -> ApprovalPolicy:
    """Read a policy file. `SettingsError` names the file and the field."""
    try:
        return ApprovalPolicy.model_validate(yaml.safe_load(path.read_bytes()))
    except (OSError, yaml.YAMLError, ValidationError) as exc:
        raise SettingsError(f"The approval policy {path} cannot be read.", "Correct the file and start again.") from exc


def path_matches(path: str, pattern: str) -> bool:
    """A glob over `/`-separated paths: `*` stays within a folder, `**` crosses folders, a trailing `/` means everything below."""
    if pattern.endswith("/"):
        pattern += "**"
    return _match(path.split("/"), pattern.split("/"))


def _match(parts: list[str], patterns: list[str]) -> bool:
    if not patterns:
        return not parts
    if patterns[0] == "**":
        return any(_match(parts[index:], patterns[1:]) for index in range(len(parts) + 1))
    return bool(parts) and fnmatchcase(parts[0], patterns[0]) and _match(parts[1:], patterns[1:])


_SENSITIVE: tuple[tuple[str, RiskLevel, str], ...] = (
    ("**/.github/workflows/**", RiskLevel.HIGH, "changes a CI workflow"),
    ("**/.gitlab-ci.yml", RiskLevel.HIGH, "changes CI"),
    ("**/.ci/**", RiskLevel.HIGH, "changes CI"),
    (".persevere.yml", RiskLevel.HIGH, "changes the approval policy of this repository"),
    ("**/Dockerfile", RiskLevel.MEDIUM, "changes a container image"),
    ("**/conftest.py", RiskLevel.HIGH, "changes test configuration"),
    ("**/pytest.ini", RiskLevel.HIGH, "changes test configuration"),
    ("**/tox.ini", RiskLevel.HIGH, "changes test configuration"),
    ("**/migrations/**", RiskLevel.MEDIUM, "changes database migrations"),
)


def assess_diff(base: Risk, paths: list[str], *, lines: int, rules: Sequence[PathRule] = ()) -> tuple[Risk, list[str]]:
    """The risk of a change to `paths` (number of changed lines), never below `base`, and who may approve it (empty: anyone)."""
    level, reasons, approvers = base.level, list(base.reasons), list[str]()

    def raise_to(new: RiskLevel, reason: str) -> None:
        nonlocal level
        level = max(level, new, key=lambda item: item.rank)
        if reason not in reasons:
            reasons.append(reason)

    for path in paths:
        for pattern, risk, reason in _SENSITIVE:
            if path_matches(path, pattern):
                raise_to(risk, f"{reason}: {path}")
        for rule in rules:
            if any(path_matches(path, pattern) for pattern in rule.paths):
                raise_to(rule.risk, f"rule “{rule.name}”: {path}")
                approvers.extend(who for who in rule.approvers if who not in approvers)
    if len(paths) > 50 or lines > 2000:
        raise_to(RiskLevel.MEDIUM, f"a large change: {len(paths)} files, {lines} lines")
    score = {RiskLevel.LOW: 0.2, RiskLevel.MEDIUM: 0.5, RiskLevel.HIGH: 0.8, RiskLevel.CRITICAL: 1.0}[level]
    return Risk(level=level, score=score, reasons=reasons), approvers
