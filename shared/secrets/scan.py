"""Finds what looks like a secret in the lines that a change adds, and hides it in text that is shown.

The detectors are those of detect-secrets, used as plain objects: its process-wide settings are neither read nor changed, and nothing is
verified over the network, so that scans may run side by side.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

from shared.secrets.scan_baseline import Baseline, read_baseline
from shared.secrets.scan_patch import AddedFile, AddedLine, read_patch
from shared.types import Json

BASELINE_FILE = ".secrets.baseline"
TIME_LIMIT_S = 6.0
MOST_FINDINGS = 100
HIDDEN = "[hidden: looks like a secret]"
_NOT_SEARCHED = "too large to be searched to its end"


@dataclass(frozen=True)
class Finding:
    """Where something looks like a secret, never what it is.

    `marked`: the change itself says that it is none (`pragma: allowlist secret`), or it could not be searched; a person may approve it.
    Any other one is never pushed. `line` is that of the new file, 0 where there is none.
    """

    path: str
    line: int
    kind: str
    marked: bool = False

    def __str__(self) -> str:
        where = f"{self.path}:{self.line}" if self.line else self.path
        return f"{where}: {self.kind}" + (" (marked as none)" if self.marked and self.line else "")


async def scan_patch(patch: bytes, baseline: bytes | None = None) -> list[Finding]:
    """What the added lines of a patch in git's format hold. `baseline`: the bytes of `.secrets.baseline` at the base commit."""
    found = await asyncio.to_thread(_scan, patch, baseline)
    return [finding for finding, _ in found]


async def hide_in_patch(patch: bytes, baseline: bytes | None = None) -> str:
    """The patch as text, without what would stop it."""
    found = await asyncio.to_thread(_scan, patch, baseline)
    text = patch.decode("utf-8", "replace")
    for finding, value in found:
        if not finding.marked and value:
            text = text.replace(value, HIDDEN)
    return text


def hide_in_text(text: str) -> str:
    """Text for people (a title, a commit's message) without what has the form of a secret; up to some 10,000 characters."""
    from shared.secrets.scan_detectors import Detectors

    detectors = Detectors()
    for number, line in enumerate(text.split("\n"), 1):
        for _, value in detectors.find("", AddedLine(number, line), formed_only=True):
            text = text.replace(value, HIDDEN)
    return text


def blocking(findings: Sequence[Finding]) -> list[Finding]:
    """Those that nobody can approve."""
    return [finding for finding in findings if not finding.marked]


def listed(findings: Sequence[Finding], most: int = 10) -> str:
    """For a sentence: the first places and how many more there are."""
    rest = len(findings) - most
    return "; ".join(map(str, findings[:most])) + (f"; and {rest} more" if rest > 0 else "")


def as_json(findings: Sequence[Finding]) -> list[Json]:
    return [asdict(finding) for finding in findings]


def from_json(rows: Sequence[Json] | None) -> list[Finding]:
    return [Finding(**row) for row in rows or ()]


def _scan(patch: bytes, baseline: bytes | None) -> list[tuple[Finding, str]]:
    until = time.monotonic() + TIME_LIMIT_S
    found: list[tuple[Finding, str]] = []
    for file in read_patch(patch):
        for finding, value in _scan_file(file, read_baseline(baseline), until):
            found.append((finding, value))
            if not finding.line or len(found) >= MOST_FINDINGS:
                return _new(found, patch)
    return _new(found, patch)


def _scan_file(file: AddedFile, known: Baseline, until: float) -> Iterator[tuple[Finding, str]]:
    from shared.secrets.scan_detectors import Detectors

    detectors = Detectors()
    for lines in file.blocks():
        if time.monotonic() > until:
            yield Finding(file.path, 0, _NOT_SEARCHED, marked=True), ""
            return
        for line in detectors.worth_a_look(lines):
            for kind, value in detectors.find(file.path, line):
                if not known.has(file.path, value):
                    yield Finding(file.path, line.number, kind, line.is_marked), value
                    break
            if time.monotonic() > until:
                break


def _new(found: list[tuple[Finding, str]], patch: bytes) -> list[tuple[Finding, str]]:
    """Without what the change only moves: a removed line has it, so the repository had it."""
    if not found:
        return found
    removed = b"\n".join(line for line in patch.split(b"\n") if line.startswith(b"-")).decode("utf-8", "replace")
    return [(finding, value) for finding, value in found if not value or value not in removed]
