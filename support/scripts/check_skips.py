"""Fails when a test was skipped for a reason that continuous integration could have met."""

from __future__ import annotations

import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path


def skips_of(report: Path) -> list[tuple[str, str]]:
    """`(test, reason)` of every skipped test in a JUnit report."""
    found: list[tuple[str, str]] = []
    for case in ElementTree.parse(report).getroot().iter("testcase"):
        for skipped in case.iter("skipped"):
            if skipped.get("type") == "pytest.xfail":
                continue
            found.append((f"{case.get('classname')}.{case.get('name')}", skipped.get("message") or ""))
    return found


def patterns_of(allowed: Path) -> list[re.Pattern[str]]:
    lines = (line.strip() for line in allowed.read_text().splitlines())
    return [re.compile(line) for line in lines if line and not line.startswith("#")]


def main(arguments: list[str]) -> int:
    report, allowed = Path(arguments[0]), Path(arguments[1])
    patterns = patterns_of(allowed)
    refused = [(test, reason) for test, reason in skips_of(report) if not any(p.search(reason) for p in patterns)]
    for test, reason in refused:
        print(f"skipped, but this machine should run it: {test}: {reason}")
    return 1 if refused else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
