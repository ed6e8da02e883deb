from __future__ import annotations

from pathlib import Path

import pytest

from shared.approvals.policy import ApprovalPolicy, PathRule, assess_diff, load_policy, path_matches
from shared.errors import SettingsError
from shared.types import Gate, Risk, RiskLevel

SHIPPED = Path(__file__).parents[3] / "config" / "approvals.yaml"


def test_what_no_rule_matches_is_asked() -> None:
    assert ApprovalPolicy(rules=[]).decide(Gate.PR, RiskLevel.LOW) == ("ask", "no rule matched")


def test_the_first_matching_rule_decides() -> None:
    policy = load_policy(SHIPPED)
    assert policy.decide(Gate.PR, RiskLevel.LOW)[0] == "skip"
    assert policy.decide(Gate.PR, RiskLevel.HIGH)[0] == "ask"
    assert all(policy.decide(gate, level)[0] == "ask" for gate in (Gate.PLAN, Gate.DIFF, Gate.COMMAND) for level in RiskLevel)


def test_an_unreadable_policy_stops_the_start(tmp_path: Path) -> None:
    wrong = tmp_path / "approvals.yaml"
    wrong.write_text("rules: [{name: x, gate: plan, risk: low, decision: perhaps}]")
    with pytest.raises(SettingsError):
        load_policy(wrong)


@pytest.mark.parametrize(
    ("path", "pattern", "matches"),
    [
        ("a/b.py", "a/*.py", True),
        ("a/b/c.py", "a/*.py", False),
        ("a/b/c.py", "a/**/*.py", True),
        ("a/c.py", "a/**/*.py", True),
        ("infra/x/y", "infra/", True),
        ("infrastructure/x", "infra/", False),
        (".github/workflows/ci.yml", "**/.github/workflows/**", True),
    ],
)
def test_globs_over_paths(path: str, pattern: str, matches: bool) -> None:
    assert path_matches(path, pattern) is matches


def test_a_diff_is_never_less_risky_than_its_plan() -> None:
    risk, approvers = assess_diff(Risk(level=RiskLevel.HIGH, reasons=["plan"]), ["a.py"], lines=1)
    assert (risk.level, risk.reasons, approvers) == (RiskLevel.HIGH, ["plan"], [])


def test_ci_and_policy_files_raise_the_risk() -> None:
    for path in (".github/workflows/ci.yml", ".persevere.yml", "tests/conftest.py"):
        risk, _ = assess_diff(Risk(), [path], lines=1)
        assert risk.level is RiskLevel.HIGH, path
        assert path in risk.reasons[0]


def test_a_rule_of_the_repository_names_its_approvers() -> None:
    rule = PathRule(name="migrations", paths=["db/**"], risk=RiskLevel.CRITICAL, approvers=["dba"])
    risk, approvers = assess_diff(Risk(), ["db/1.sql"], lines=1, rules=[rule])
    assert (risk.level, approvers) == (RiskLevel.CRITICAL, ["dba"])
