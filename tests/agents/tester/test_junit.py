"""JUnit XML, well-meant and hostile."""

from __future__ import annotations

import pytest

from agents.tester.junit import JUnitError, parse_junit

PYTEST = b"""<?xml version="1.0" encoding="utf-8"?>
<testsuites name="pytest tests"><testsuite name="pytest" errors="1" failures="1" skipped="1" tests="4" time="0.1">
<testcase classname="tests.test_a" name="test_ok" time="0.001" />
<testcase classname="tests.test_a" name="test_bad"><failure message="AssertionError: assert 1 == 2">def test_bad(): ...</failure></testcase>
<testcase classname="tests.test_a" name="test_skip"><skipped type="pytest.skip" message="no">x</skipped></testcase>
<testcase classname="" name="tests.test_b"><error message="collection failure">ImportError</error></testcase>
</testsuite></testsuites>"""


def test_pytest_report() -> None:
    counts = parse_junit(PYTEST)
    assert (counts.passed, counts.failed, counts.skipped) == (1, 2, 1)
    assert [(failure.name, failure.message) for failure in counts.failures] == [
        ("tests.test_a::test_bad", "AssertionError: assert 1 == 2"),
        ("tests.test_b", "collection failure"),
    ]


def test_failure_and_error_in_one_case_count_once() -> None:
    counts = parse_junit(b'<testsuite><testcase name="a"><failure message="x"/><error message="y"/></testcase></testsuite>')
    assert (counts.failed, counts.failures[0].message) == (1, "x")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"not xml",
        b"<testsuite><testcase",
        b"<html></html>",
        b'<!DOCTYPE x [<!ENTITY a "b">]><testsuite/>',
        b'<!DOCTYPE x SYSTEM "file:///etc/passwd"><testsuite/>',
        b"<testsuite/>" + b" " * 20_000_001,
    ],
)
def test_what_is_refused(data: bytes) -> None:
    with pytest.raises(JUnitError):
        parse_junit(data)


def test_failures_and_messages_are_bounded() -> None:
    case = '<testcase name="' + "n" * 1000 + '"><failure message="' + "m" * 1000 + '"/></testcase>'
    counts = parse_junit(f"<testsuite>{case * 600}</testsuite>".encode())
    assert (counts.failed, len(counts.failures)) == (600, 500)
    assert (len(counts.failures[0].name), len(counts.failures[0].message)) == (300, 500)
