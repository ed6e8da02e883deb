"""No line, however it is made, holds a scan up: the time of each pattern is bounded on lines of the length that is searched at once."""

from __future__ import annotations

import re
import time

import pytest

from shared.secrets import scan_detectors, scan_keys, scan_patch, scan_values
from shared.secrets.scan import scan_patch as scan
from shared.secrets.scan_detectors import Detectors
from shared.secrets.scan_patch import PIECE, AddedLine
from tests.shared.secrets.seeds import drawn, patch_of

LIMIT_S = 3.0
"""CPU seconds; the slowest takes half a second, those that are meant take minutes."""
GITHUB = "gh" + "p_" + drawn(36)
STARTS = ("token", "secret", "password", "cl_pass", "ibm_key", "bx_api_key", "cos_hmac_secret_access_key", "softlayer_key", "aws_key", "a")
JOINTS = ("", ":", " =", "=", '"', " : a", "](", "|", "`== ")
PIECES = (
    "`",
    "`== ",
    "//",
    "/:_authToken=",
    "eyJ",
    "eyJ.",
    "://a:",
    "sk-",
    "xoxb-1-",
    "aws key ",
    "token: ",
    "token:a ",
    "-",
    "https://",
    "A1=",
)


def hostile() -> list[str]:
    lines = [(piece * PIECE)[: PIECE - 1] + "!" for piece in (*PIECES, *STARTS)]
    for start in STARTS:
        for joint in JOINTS:
            half = (start * PIECE)[: PIECE // 2]
            lines += [half + joint + " " * (PIECE // 2 - len(joint) - 1) + "!", start + joint + " " * (PIECE - 60) + "!"]
    return lines


def patterns() -> dict[str, re.Pattern[str]]:
    modules = (scan_values, scan_detectors, scan_keys, scan_patch)
    own = {name: value for module in modules for name, value in vars(module).items() if isinstance(value, re.Pattern)}
    shapes = {f"_SHAPES[{index}]": shape for index, shape in enumerate(scan_detectors._SHAPES)}
    return {name: pattern for name, pattern in (own | shapes).items() if isinstance(pattern.pattern, str)}


@pytest.mark.parametrize("name", patterns())
def test_each_pattern_of_ours_is_bounded(name: str) -> None:
    pattern = patterns()[name]
    started = time.process_time()
    for line in hostile():
        for _ in pattern.finditer(line):
            pass
        assert time.process_time() - started < LIMIT_S, line[:40]


@pytest.mark.parametrize("path", ["a.py", "a.cpp", "a.yaml"])
def test_a_whole_search_of_a_line_is_bounded(path: str) -> None:
    detectors = Detectors()
    for line in hostile()[::3]:
        started = time.process_time()
        list(detectors.find(path, AddedLine(1, line)))
        assert time.process_time() - started < LIMIT_S, line[:40]


async def test_what_follows_a_line_that_is_made_to_hold_it_up_is_found() -> None:
    line = "token" * 100 + ":" + " " * 500
    started = time.process_time()
    found = await scan(patch_of("a.py", f'{line}\nK = "{GITHUB}"'))
    assert [(finding.line, finding.kind) for finding in found] == [(2, "GitHub Token")]
    assert time.process_time() - started < LIMIT_S


@pytest.mark.parametrize("between", [" = ", ": str = ", ": str | None = ", ":  Final[str]  =  ", ":=", " => ", ": ", ", "])
async def test_a_value_given_in_any_form_is_found(between: str) -> None:
    assert await scan(patch_of("a.py", f'api_token{between}"{drawn(32)}"')), between


@pytest.mark.parametrize(
    "line", ["{0}={1}", "export {0}={1}", "  {0}:   {1}", "ENV {0} {1}", "- {0}: {1}  # a note", "{0} {2}{1}", "{0} := {1}"]
)
async def test_a_value_without_quotes_is_found_in_settings(line: str) -> None:
    assert await scan(patch_of(".env", line.format("API_TOKEN", drawn(32), " " * 40))), line
