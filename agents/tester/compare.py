"""The verdict: what the change's run means beside the base commit's. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from agents.tester.values import Outcome, RunReport
from shared.types import TestResults, Verdict

NO_TESTS = "No tests were found."
_LISTED = 200


def compare(change: RunReport | None, base: RunReport | None, notes: Sequence[str] = ()) -> TestResults:
    """`change` is None where nothing could be detected; `base` is None where the change's run did not make it necessary.

    Red before and after alike stays `failed`, with `newly_failing` empty and the old failures in `failing_before`.
    """
    if change is None:
        return TestResults(verdict="none", reason=" ".join([NO_TESTS, *notes]))
    names = list(dict.fromkeys(failure.name for failure in change.failures))
    before = list(dict.fromkeys(failure.name for failure in base.failures)) if base is not None else []
    verdict, newly, reason = _verdict(change, base, names, before)
    return TestResults(
        verdict=verdict,
        passed=sum(report.passed for report in change.reports),
        failed=sum(report.failed for report in change.reports),
        skipped=sum(report.skipped for report in change.reports),
        duration_s=round(sum(report.duration_s for report in change.reports), 3),
        commands=[report.command for report in change.reports],
        failures=change.failures[:_LISTED],
        failing_before=before[:_LISTED],
        newly_failing=newly[:_LISTED],
        reason=" ".join(filter(None, [reason, *notes])),
    )


def _verdict(change: RunReport, base: RunReport | None, names: list[str], before: list[str]) -> tuple[Verdict, list[str], str]:
    outcome: Outcome = change.outcome
    reason = change.reason
    lost = _lost(change, base)
    if lost:
        return "failed", lost + [name for name in names if name not in before], f"{reason} On the base commit they can be run."
    if outcome == "green":
        return "passed", [], reason
    if outcome == "none":
        return "none", [], reason or NO_TESTS
    if outcome == "timeout":
        return "timeout", [], reason
    base_outcome = base.outcome if base is not None else None
    if outcome == "broken":
        if not change.error and base_outcome in ("green", "red"):
            broken = [report.command for report in change.reports if report.outcome == "broken"]
            return "failed", broken + [name for name in names if name not in before], f"{reason} On the base commit the tests run."
        return "error", [], reason
    newly = [name for name in names if name not in set(before)]
    if base_outcome == "green" or base_outcome == "red":
        return "failed", newly, " ".join(filter(None, [_summary(newly, names, before) if not _said(change) else "", reason]))
    why = {
        "none": "has no tests",
        "timeout": "does not end its tests within the limit",
        "broken": "cannot run its tests",
        None: "was not tested",
    }
    return "failed", newly, f"{reason} The base commit {why[base_outcome]}, so every failure counts as new.".strip()


def _said(change: RunReport) -> bool:
    """Whether a command that was run says more than its failures."""
    return any(report.reason for report in change.reports)


def _lost(change: RunReport, base: RunReport | None) -> list[str]:
    """Commands that the base commit can run and the change cannot."""
    ran = {report.command for report in base.reports} if base is not None else set()
    return [skipped.command for skipped in change.not_run if skipped.command in ran]


def _summary(newly: list[str], names: list[str], before: list[str]) -> str:
    old = len(names) - len(newly)
    if not newly:
        return (
            f"The same {old} tests fail on the base commit: the change broke nothing more."
            if old != 1
            else ("The same test fails on the base commit: the change broke nothing more.")
        )
    tail = f" {old} failed before as well." if old else ""
    return f"The change makes {len(newly)} {'test' if len(newly) == 1 else 'tests'} fail.{tail}"
