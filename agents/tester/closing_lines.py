"""Counts from what runners print, where there is no JUnit report."""

from __future__ import annotations

import json
import re
from collections.abc import Callable

from agents.tester.junit import Counts
from agents.tester.values import RunnerKind

_ANSI = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def parse_closing(kind: RunnerKind, output: str) -> Counts | None:
    """Counts by the runner's own closing line, or None when it has not printed one. `output` is what it wrote, both streams."""
    text = _ANSI.sub("", output)
    readers: dict[RunnerKind, list[Callable[[str], Counts | None]]] = {
        "pytest": [read_pytest],
        "unittest": [read_unittest],
        "go": [read_go],
        "cargo": [read_cargo],
        "node": [read_node, read_jest, read_mocha, read_go_text],
    }
    anything = [read_pytest, read_unittest, read_cargo, read_node, read_jest, read_mocha, read_go_text]
    return next((counts for reader in readers.get(kind, anything) if (counts := reader(text)) is not None), None)


def _number(pattern: str, text: str) -> int:
    match = re.search(pattern, text)
    return int(match[1]) if match else 0


def read_pytest(text: str) -> Counts | None:
    """`=== 1 failed, 2 passed, 1 error in 0.1s ===`"""
    lines = re.findall(r"(?m)^=* ?((?:\d+ [a-z]+(?:, )?|no tests ran)+) in [\d.]+s", text)
    if not lines:
        return None
    last = lines[-1]
    counts = Counts(
        passed=_number(r"(\d+) passed", last) + _number(r"(\d+) xpassed", last),
        skipped=_number(r"(\d+) skipped", last) + _number(r"(\d+) xfailed", last),
    )
    for name, message in re.findall(r"(?m)^(?:FAILED|ERROR) (\S+)(?: - (.*))?$", text):
        counts.fail(name, message)
    counts.failed = _number(r"(\d+) failed", last) + _number(r"(\d+) errors?", last)
    return counts


def read_unittest(text: str) -> Counts | None:
    """`Ran 3 tests in 0.001s` and, after it, `OK` or `FAILED (failures=1, errors=1, skipped=1)`."""
    ends = list(re.finditer(r"(?m)^Ran (\d+) tests? in [\d.]+s\s*\n+\s*((?:OK|FAILED|NO TESTS RAN)[^\n]*)", text))
    if not ends:
        return None
    total, last = int(ends[-1][1]), ends[-1][2]
    skipped = _number(r"skipped=(\d+)", last) + _number(r"expected failures=(\d+)", last)
    counts = Counts(skipped=skipped)
    for name, body in re.findall(r"(?ms)^={50,}\n(?:FAIL|ERROR): ([^\n]+)\n(.*?)(?=^={50,}\n|^-{50,}\nRan )", text):
        named = re.match(r"(\S+) \(([^)]+)\)", name)
        method, group = (named[1], named[2]) if named else (name, "")
        label = group if group.endswith(f".{method}") else f"{group}.{method}" if group else method
        counts.fail(label, body.strip().splitlines()[-1] if body.strip() else "")
    listed = _number(r"\bfailures=(\d+)", last.replace("expected failures", "")) + _number(r"\berrors=(\d+)", last)
    counts.failed = listed + _number(r"unexpected successes=(\d+)", last)
    counts.passed = max(0, total - counts.failed - skipped)
    return counts


def read_go(text: str) -> Counts | None:
    """The stream of `go test -json`."""
    counts, seen = Counts(), False
    messages: dict[str, str] = {}
    for line in text.splitlines():
        event = _object(line)
        if "Action" not in event or ("Package" not in event and "ImportPath" not in event):
            continue
        seen = True
        test, action = event.get("Test"), event["Action"]
        package = str(event.get("Package", event.get("ImportPath", "")))
        name = f"{package}::{test}" if test else package
        if action in ("output", "build-output"):
            written = str(event.get("Output", ""))
            if not written.lstrip().startswith(("===", "---")):
                messages[name] = (messages.get(name, "") + written)[:500]
        elif test and action == "pass":
            counts.passed += 1
        elif test and action == "skip":
            counts.skipped += 1
        elif action == "fail" and (test or not any(failure.name.startswith(package + "::") for failure in counts.failures)):
            counts.fail(name, messages.get(name, ""))
    return counts if seen else None


def read_go_text(text: str) -> Counts | None:
    if not re.search(r"(?m)^(ok  \t|FAIL\t|FAIL$)", text):
        return None
    counts = Counts(passed=len(re.findall(r"(?m)^\s*--- PASS: ", text)), skipped=len(re.findall(r"(?m)^\s*--- SKIP: ", text)))
    for name in re.findall(r"(?m)^\s*--- FAIL: (\S+)", text):
        counts.fail(name, "")
    counts.passed = counts.passed or len(re.findall(r"(?m)^ok  \t", text))
    return counts


def read_cargo(text: str) -> Counts | None:
    """Every `test result: ok. 3 passed; 0 failed; 1 ignored; …` line, one a test binary."""
    results = re.findall(r"(?m)^test result: \w+\. (\d+) passed; (\d+) failed; (\d+) ignored", text)
    if not results:
        return None
    counts = Counts(passed=sum(int(row[0]) for row in results), skipped=sum(int(row[2]) for row in results))
    panics = dict(re.findall(r"(?m)^thread '([^']+)'[^\n]* panicked at [^\n]*\n([^\n]*)", text))
    for name in re.findall(r"(?m)^test (.+?) \.\.\. FAILED", text):
        counts.fail(name.removesuffix(" - should panic"), panics.get(name, ""))
    counts.failed = sum(int(row[1]) for row in results)
    return counts


def read_node(text: str) -> Counts | None:
    """node's own runner, in TAP (`# pass 2`) or with its spec reporter (`ℹ pass 2`)."""
    totals = {word: int(number) for word, number in re.findall(r"(?m)^(?:#|ℹ) (tests|pass|fail|cancelled|skipped|todo) (\d+)\s*$", text)}
    if "pass" not in totals or "fail" not in totals:
        return None
    counts = Counts(passed=totals["pass"], skipped=totals.get("skipped", 0) + totals.get("todo", 0))
    head = text.split("failing tests:")[0]
    for name in re.findall(r"(?m)^\s*not ok \d+ - (.+?)(?: # .*)?$", text) or re.findall(r"(?m)^\s*✖ (.+?) \([\d.]+ms\)", head):
        counts.fail(name, "")
    counts.failed = totals["fail"] + totals.get("cancelled", 0)
    return counts


def read_jest(text: str) -> Counts | None:
    """jest's `Tests:  1 failed, 2 passed, 3 total` and vitest's `Tests  1 failed | 2 passed (3)`."""
    lines = re.findall(r"(?m)^\s*Tests:?\s+(.*(?:total|\(\d+\)).*)$", text)
    if not lines:
        return None
    last = lines[-1]
    counts = Counts(passed=_number(r"(\d+) passed", last), skipped=_number(r"(\d+) skipped", last) + _number(r"(\d+) todo", last))
    for name in dict.fromkeys(re.findall(r"(?m)^\s*(?:●|FAIL) +(\S.*(?: › | > ).*?)\s*$", text)):
        counts.fail(name, "")
    counts.failed = _number(r"(\d+) failed", last)
    return counts


def read_mocha(text: str) -> Counts | None:
    """`2 passing (5ms)`, `1 failing`, `1 pending`."""
    if not re.search(r"(?m)^\s*\d+ passing \(", text):
        return None
    counts = Counts(passed=_number(r"(?m)^\s*(\d+) passing \(", text), skipped=_number(r"(?m)^\s*(\d+) pending\s*$", text))
    for name in re.findall(r"(?m)^\s*\d+\) (.+?):?\s*$", text.split(" passing (")[0]):
        counts.fail(name, "")
    counts.failed = _number(r"(?m)^\s*(\d+) failing\s*$", text)
    return counts


def _object(line: str) -> dict[str, object]:
    if not line.startswith("{"):
        return {}
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}
