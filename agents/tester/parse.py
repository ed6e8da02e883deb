"""From what a test command did to what it means. Never green without evidence."""

from __future__ import annotations

import re

from agents.tester.closing_lines import parse_closing
from agents.tester.junit import Counts, JUnitError, parse_junit
from agents.tester.values import CommandReport, Outcome, TestCommand
from shared.types import CommandResult, TestFailure

_MUST_CLOSE = ("pytest", "unittest", "go", "cargo")
_NETWORK = re.compile(
    r"Temporary failure in name resolution|Network is unreachable|Name or service not known|getaddrinfo|ENOTFOUND|EAI_AGAIN|ENETUNREACH"
    r"|Could not resolve host|dial tcp|Failed to establish a new connection"
    r"|nodename nor servname|Cannot connect to proxy|ERR_NAME_NOT_RESOLVED"
)
NO_NETWORK = "The tests seem to need the network, and the sandbox has none."
_SIGNALS = {134: "SIGABRT", 135: "SIGBUS", 136: "SIGFPE", 137: "SIGKILL", 139: "SIGSEGV", 143: "SIGTERM"}
_PYTEST_EXITS = {2: "pytest was interrupted", 3: "pytest had an internal error", 4: "pytest was called wrongly"}


def judge_command(command: TestCommand, result: CommandResult, junit: bytes | None) -> CommandReport:
    """One command's report from its result and its JUnit file, if it wrote one."""
    output = f"{result.stdout}\n{result.stderr}"
    counts, problem = _counts(command, output, junit)
    outcome, reason = _outcome(command, result, counts, problem)
    if result.truncated and outcome in ("green", "red") and junit is None:
        reason = f"{reason} The output was longer than what is kept, so the counts may be incomplete.".strip()
    if outcome in ("red", "broken", "timeout") and _NETWORK.search(output):
        reason = f"{reason} {NO_NETWORK}".strip()
    counts = counts or Counts()
    failures = counts.failures
    if outcome == "red" and not failures:
        failures = [TestFailure(name=command.text, message=_last_line(output))]
    return CommandReport(
        command=command.text,
        outcome=outcome,
        passed=counts.passed,
        failed=counts.failed,
        skipped=counts.skipped,
        duration_s=round(result.duration_s, 3),
        failures=failures,
        reason=reason,
    )


def _counts(command: TestCommand, output: str, junit: bytes | None) -> tuple[Counts | None, str]:
    if junit is not None:
        try:
            return parse_junit(junit), ""
        except JUnitError as exc:
            return None, f"{str(exc)[0].upper()}{str(exc)[1:]}."
    return parse_closing(command.kind, output), ""


def _outcome(command: TestCommand, result: CommandResult, counts: Counts | None, problem: str) -> tuple[Outcome, str]:
    """Counts and exit code must agree; where they do not, the worse one counts."""
    if result.stopped_by == "timeout":
        return "timeout", f"`{command.text}` did not end within the time limit and was stopped."
    if result.stopped_by is not None:
        limits = {
            "output": "printed more than the limit allows",
            "memory": "used more memory than the limit allows",
            "disk": "wrote more to disk than the limit allows",
            "cancelled": "was cancelled",
        }
        return "broken", f"`{command.text}` {limits[result.stopped_by]} and was stopped."
    code = result.exit_code
    if problem:
        return "broken", problem
    if (command.kind == "pytest" and code == 5) or (counts is not None and counts.total == 0 and code in (0, 5)):
        return "none", f"`{command.text}` found no tests."
    if counts is not None and counts.failed:
        return "red", ""
    if code == 0:
        return _green(command, counts)
    return "broken", _why_broken(command, result, counts)


def _green(command: TestCommand, counts: Counts | None) -> tuple[Outcome, str]:
    if counts is None:
        if command.kind in _MUST_CLOSE:
            return "broken", f"`{command.text}` ended with exit code 0 but without its closing line or report: that is no evidence."
        return "green", f"`{command.text}` ended with exit code 0; its output has no counts."
    if not counts.passed:
        return "none", f"`{command.text}` skipped every test."
    return "green", ""


def _why_broken(command: TestCommand, result: CommandResult, counts: Counts | None) -> str:
    code = result.exit_code
    signal = _SIGNALS.get(code or 0) or (f"signal {-code}" if code is not None and code < 0 else None)
    what = f"was ended by {signal}" if signal else f"ended with exit code {code}"
    if command.kind == "pytest" and code in _PYTEST_EXITS and not signal:
        what += f" ({_PYTEST_EXITS[code]})"
    if counts is not None:
        what += " though its report names no failure"
    last = _last_line(f"{result.stdout}\n{result.stderr}")
    return f"`{command.text}` {what}" + (f": {last}" if last else ".")


def _last_line(output: str) -> str:
    lines = [line.strip(" =_-") for line in output.splitlines()]
    errors = [line for line in lines if re.match(r"^(E  |ERROR\b|error\b|\w*Error\b|Fatal\b|make: \*\*\*)", line)]
    return next((line[:300] for line in reversed(errors or lines) if line), "")
