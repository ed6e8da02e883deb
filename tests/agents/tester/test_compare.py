"""The verdict for every pair of runs."""

from __future__ import annotations

import pytest

from agents.tester.compare import compare
from agents.tester.values import CommandReport, NotRun, Outcome, RunReport
from shared.types import TestFailure


def run(outcome: Outcome, *failing: str) -> RunReport:
    failures = [TestFailure(name=name) for name in failing]
    return RunReport(
        reports=[CommandReport(command="pytest", outcome=outcome, passed=1, failed=len(failing), failures=failures, reason="")]
    )


@pytest.mark.parametrize(
    ("change", "base", "verdict", "newly", "before"),
    [
        (None, None, "none", [], []),
        (run("none"), None, "none", [], []),
        (run("green"), None, "passed", [], []),
        (run("timeout"), None, "timeout", [], []),
        (run("red", "a"), run("green"), "failed", ["a"], []),
        (run("red", "a"), run("red", "a"), "failed", [], ["a"]),
        (run("red", "a", "b"), run("red", "a", "c"), "failed", ["b"], ["a", "c"]),
        (run("red", "a"), run("broken"), "failed", ["a"], []),
        (run("red", "a"), RunReport(), "failed", ["a"], []),
        (run("broken"), run("green"), "failed", ["pytest"], []),
        (run("broken"), run("broken"), "error", [], []),
        (run("broken"), run("timeout"), "error", [], []),
        (RunReport(error="no pytest"), None, "error", [], []),
    ],
)
def test_verdicts(change: RunReport | None, base: RunReport | None, verdict: str, newly: list[str], before: list[str]) -> None:
    results = compare(change, base)
    assert (results.verdict, results.newly_failing, results.failing_before) == (verdict, newly, before)


def test_the_worst_of_several_commands_counts() -> None:
    both = RunReport(reports=[*run("green").reports, *run("red", "a").reports])
    assert compare(both, run("green")).verdict == "failed"
    assert compare(RunReport(reports=[*run("none").reports, *run("green").reports]), None).verdict == "passed"


def test_notes_are_in_the_reason() -> None:
    assert compare(run("green"), None, ["The change skips tests in a.py."]).reason == "The change skips tests in a.py."


NPM = [NotRun(command="npm test", reason="npm could not install.")]


@pytest.mark.parametrize(("outcome", "verdict"), [("green", "passed"), ("none", "none"), ("timeout", "timeout")])
def test_the_verdict_is_by_what_ran_and_says_what_did_not(outcome: Outcome, verdict: str) -> None:
    results = compare(RunReport(reports=run(outcome).reports, not_run=NPM), None)
    assert (results.verdict, results.reason) == (verdict, "`npm test` could not be run: npm could not install.")


def test_what_did_not_run_changes_no_comparison() -> None:
    red = compare(RunReport(reports=run("red", "a").reports, not_run=NPM), RunReport(reports=run("red", "a").reports, not_run=NPM))
    assert (red.verdict, red.newly_failing) == ("failed", [])
    assert red.reason.startswith("The same test fails on the base commit")
    assert red.reason.endswith("npm could not install.")


def test_what_only_the_change_cannot_run_is_its_fault() -> None:
    base = RunReport(reports=[*run("green").reports, CommandReport(command="npm test", outcome="green")])
    results = compare(RunReport(reports=run("green").reports, not_run=NPM), base)
    assert (results.verdict, results.newly_failing) == ("failed", ["npm test"])
