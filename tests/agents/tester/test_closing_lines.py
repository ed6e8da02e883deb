"""Closing lines as the runners print them."""

from __future__ import annotations

import pytest

from agents.tester.closing_lines import parse_closing
from agents.tester.values import RunnerKind

LINE = "=" * 70
RULE = "-" * 70
UNITTEST = f"""test_bad (test_u.T.test_bad) ... FAIL

{LINE}
ERROR: test_err (test_u.T.test_err)
{RULE}
Traceback (most recent call last):
  File "/tmp/tst/test_u.py", line 5, in test_err
ValueError: boom

{LINE}
FAIL: test_sub (test_u.T.test_sub) (i=1)
{RULE}
Traceback (most recent call last):
AssertionError: 1 != 0

{RULE}
Ran 5 tests in 0.001s

FAILED (failures=1, errors=1, skipped=1)
"""
TAP = """TAP version 13
# Subtest: ok
ok 1 - ok
not ok 2 - bad one
ok 3 - skipped # SKIP
    not ok 1 - inner bad
not ok 4 - outer
1..4
# tests 5
# suites 0
# pass 1
# fail 3
# cancelled 0
# skipped 1
# todo 0
"""
SPEC = """✔ ok (1.082731ms)
✖ bad one (1.249769ms)
▶ outer
  ✖ inner bad (8.393587ms)
ℹ tests 5
ℹ suites 0
ℹ pass 1
ℹ fail 2
ℹ cancelled 0
ℹ skipped 1
ℹ todo 0

✖ failing tests:

✖ bad one (1.249769ms)
"""
CARGO = """running 2 tests
test tests::fails ... FAILED
test tests::works ... ok

---- tests::fails stdout ----
thread 'tests::fails' panicked at src/lib.rs:5:9:
assertion `left == right` failed

test result: FAILED. 1 passed; 1 failed; 0 ignored; 0 measured; 0 filtered out; finished in 0.00s

running 1 test
test doc ... ok

test result: ok. 1 passed; 0 failed; 2 ignored; 0 measured; 0 filtered out; finished in 0.10s
"""
GO = """{"Action":"run","Package":"x/y","Test":"TestA"}
{"Action":"output","Package":"x/y","Test":"TestA","Output":"    y_test.go:5: wrong\\n"}
{"Action":"output","Package":"x/y","Test":"TestA","Output":"--- FAIL: TestA (0.00s)\\n"}
{"Action":"fail","Package":"x/y","Test":"TestA","Elapsed":0}
{"Action":"pass","Package":"x/y","Test":"TestB","Elapsed":0}
{"Action":"skip","Package":"x/y","Test":"TestC","Elapsed":0}
{"Action":"fail","Package":"x/y","Elapsed":0.1}
"""
GO_BUILD = """{"ImportPath":"x/y","Action":"build-output","Output":"./y.go:3:1: undefined: z\\n"}
{"ImportPath":"x/y","Action":"build-fail"}
{"Action":"fail","Package":"x/y","Elapsed":0,"FailedBuild":"x/y"}
"""
JEST = """  ● sums › adds one
    expect(received).toBe(expected)
Test Suites: 1 failed, 1 passed, 2 total
Tests:       1 failed, 1 skipped, 4 passed, 6 total
"""
VITEST = """ FAIL  src/a.test.ts > sums > adds one
 Test Files  1 failed (1)
      Tests  1 failed | 2 passed | 1 skipped (4)
"""
MOCHA = """  sums
    1) adds
    ✔ is there

  1 passing (4ms)
  1 pending
  1 failing

  1) sums
       adds:
"""
PYTEST = "FAILED tests/test_a.py::test_b - assert 1 == 2\n=== 1 failed, 3 passed, 2 skipped, 1 xfailed, 1 error in 0.12s ===\n"


@pytest.mark.parametrize(
    ("kind", "text", "counts", "first"),
    [
        ("unittest", UNITTEST, (2, 2, 1), ("test_u.T.test_err", "ValueError: boom")),
        ("unittest", "Ran 0 tests in 0.000s\n\nNO TESTS RAN\n", (0, 0, 0), None),
        ("unittest", "Ran 2 tests in 0.1s\n\nOK (expected failures=1)\n", (1, 0, 1), None),
        ("node", TAP, (1, 3, 1), ("bad one", "")),
        ("node", SPEC, (1, 2, 1), ("bad one", "")),
        ("cargo", CARGO, (2, 1, 2), ("tests::fails", "assertion `left == right` failed")),
        ("go", GO, (1, 1, 1), ("x/y::TestA", "    y_test.go:5: wrong".strip())),
        ("go", GO_BUILD, (0, 1, 0), ("x/y", "./y.go:3:1: undefined: z")),
        ("node", JEST, (4, 1, 1), ("sums › adds one", "")),
        ("node", VITEST, (2, 1, 1), ("src/a.test.ts > sums > adds one", "")),
        ("node", MOCHA, (1, 1, 1), ("adds", "")),
        ("tox", PYTEST, (3, 2, 3), ("tests/test_a.py::test_b", "assert 1 == 2")),
        ("shell", "\x1b[32m=== 3 passed in 0.1s ===\x1b[0m".replace("\x1b[32m", ""), (3, 0, 0), None),
    ],
)
def test_counts(kind: RunnerKind, text: str, counts: tuple[int, int, int], first: tuple[str, str] | None) -> None:
    found = parse_closing(kind, text)
    assert found is not None
    assert (found.passed, found.failed, found.skipped) == counts
    assert ((found.failures[0].name, found.failures[0].message) if found.failures else None) == first


@pytest.mark.parametrize("kind", ["pytest", "unittest", "go", "cargo", "node", "make", "shell", "tox"])
@pytest.mark.parametrize("text", ["", "OK\n", "everything passed\n", "{}\n[1]\n{broken\n", "\x00\xff" * 100])
def test_no_closing_line(kind: RunnerKind, text: str) -> None:
    assert parse_closing(kind, text) is None
