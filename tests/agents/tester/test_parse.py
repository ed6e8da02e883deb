"""What a finished command means."""

from __future__ import annotations

from typing import Any

import pytest

from agents.tester.parse import judge_command
from agents.tester.values import RunnerKind, TestCommand
from shared.types import CommandResult

GREEN = b'<testsuites><testsuite><testcase classname="t" name="a"/></testsuite></testsuites>'
RED = b'<testsuites><testsuite><testcase classname="t" name="a"><failure message="no"/></testcase></testsuite></testsuites>'


def judged(kind: RunnerKind, junit: bytes | None = None, **result: Any) -> tuple[str, str]:
    report = judge_command(TestCommand(kind=kind, argv=["x"]), CommandResult(**{"exit_code": 0, **result}), junit)
    return report.outcome, report.reason


@pytest.mark.parametrize(
    ("kind", "junit", "result", "outcome"),
    [
        ("pytest", GREEN, {}, "green"),
        ("pytest", RED, {"exit_code": 1}, "red"),
        ("pytest", RED, {"exit_code": 0}, "red"),
        ("pytest", GREEN, {"exit_code": 1}, "broken"),
        ("pytest", None, {}, "broken"),
        ("pytest", b"junk", {}, "broken"),
        ("pytest", None, {"exit_code": 5}, "none"),
        ("pytest", None, {"exit_code": 3}, "broken"),
        ("pytest", None, {"exit_code": 139}, "broken"),
        ("pytest", None, {"exit_code": None, "stopped_by": "timeout"}, "timeout"),
        ("pytest", GREEN, {"exit_code": None, "stopped_by": "output"}, "broken"),
        ("shell", None, {}, "green"),
        ("shell", None, {"exit_code": 1}, "broken"),
        ("unittest", None, {}, "broken"),
        ("go", None, {}, "broken"),
    ],
)
def test_outcomes(kind: RunnerKind, junit: bytes | None, result: dict[str, Any], outcome: str) -> None:
    assert judged(kind, junit, **result)[0] == outcome


@pytest.mark.parametrize(
    "text",
    [
        "socket.gaierror: [Errno -3] Temporary failure in name resolution",
        "OSError: [Errno 101] Network is unreachable",
        "Error: getaddrinfo EAI_AGAIN registry.example",
    ],
)
def test_network(text: str) -> None:
    assert "sandbox has none" in judged("pytest", RED, exit_code=1, stderr=text)[1]
    assert judged("pytest", GREEN, stderr=text)[1] == ""
