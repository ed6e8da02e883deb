"""Reads JUnit XML that hostile code may have written: bounded, no document types, no entities."""

from __future__ import annotations

import xml.parsers.expat as expat
from dataclasses import dataclass, field

from shared.types import TestFailure

MAX_JUNIT_BYTES = 20_000_000
MAX_FAILURES = 500
MAX_MESSAGE = 500
MAX_NAME = 300


class JUnitError(ValueError):
    """The file is not a JUnit report that can be trusted."""


@dataclass
class Counts:
    """Tests by outcome; `failures` has at most 500 entries."""

    passed: int = 0
    failed: int = 0
    skipped: int = 0
    failures: list[TestFailure] = field(default_factory=list)

    @property
    def total(self) -> int:
        return self.passed + self.failed + self.skipped

    def fail(self, name: str, message: str) -> None:
        self.failed += 1
        if len(self.failures) < MAX_FAILURES:
            self.failures.append(TestFailure(name=name[:MAX_NAME], message=message.strip()[:MAX_MESSAGE]))


def parse_junit(data: bytes) -> Counts:
    """Count the test cases. Raises `JUnitError` for anything but well-formed XML without a DTD and at most 20 MB."""
    if len(data) > MAX_JUNIT_BYTES:
        raise JUnitError("the JUnit report is larger than 20 MB")
    reader = _Reader()
    parser = expat.ParserCreate()
    parser.StartDoctypeDeclHandler = _refuse
    parser.EntityDeclHandler = _refuse
    parser.StartElementHandler = reader.start
    parser.EndElementHandler = reader.end
    try:
        parser.Parse(data, True)
    except expat.ExpatError as exc:
        raise JUnitError("the JUnit report is not well-formed XML") from exc
    if not reader.is_report:
        raise JUnitError("the file is not a JUnit report")
    return reader.counts


def _refuse(*_: object) -> None:
    raise JUnitError("the JUnit report has a document type or entities")


class _Reader:
    def __init__(self) -> None:
        self.counts = Counts()
        self.is_report = False
        self._name = ""
        self._state = ""
        self._message = ""

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if tag in ("testsuites", "testsuite"):
            self.is_report = True
        elif tag == "testcase":
            group, name = attributes.get("classname", ""), attributes.get("name", "")
            self._name, self._state, self._message = f"{group}::{name}" if group else name, "", ""
        elif tag in ("failure", "error"):
            self._state, self._message = "failed", self._message or attributes.get("message", "")
        elif tag == "skipped" and not self._state:
            self._state = "skipped"

    def end(self, tag: str) -> None:
        if tag != "testcase":
            return
        if self._state == "failed":
            self.counts.fail(self._name, self._message)
        elif self._state == "skipped":
            self.counts.skipped += 1
        else:
            self.counts.passed += 1
