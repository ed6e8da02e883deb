"""Finds what looks like a secret in the lines that a change adds, and hides it in text that is shown.

The detectors are those of detect-secrets, used as plain objects: its process-wide settings are neither read nor changed, and nothing is
verified over the network, so that scans may run side by side.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from shared.secrets.scan_baseline import Baseline, read_baseline
from shared.secrets.scan_keys import hide_keys
from shared.secrets.scan_patch import AddedFile, AddedKey, AddedLine, pieces, read_patch, without_lines
from shared.types import Json

BASELINE_FILE = ".secrets.baseline"
TIME_LIMIT_S = 6.0
MOST_FINDINGS = 100
_MOST_VALUES, _MOST_OF_KEY = 500, 20
HIDDEN = "[hidden: looks like a secret]"
NOT_SHOWN = f"{HIDDEN} The change was not searched to its end and is not shown here: see `persevere tasks diff`."
_NOT_SEARCHED = "too large to be searched to its end"
_TOO_MANY = "more than are listed, not searched to its end"
_MORE_MARKED = "more lines that are marked as none than are listed"


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


@dataclass(frozen=True)
class _Found:
    """`values` and the lines with these `numbers` are not shown."""

    finding: Finding
    values: tuple[str, ...] = ()
    numbers: range = range(0)


async def scan_patch(patch: bytes, baseline: bytes | None = None) -> list[Finding]:
    """What the added lines of a patch in git's format hold. `baseline`: the bytes of `.secrets.baseline` at the base commit."""
    return [found.finding for found in await asyncio.to_thread(_scan, patch, baseline)]


async def hide_in_patch(patch: bytes, baseline: bytes | None = None) -> str:
    """The patch as text, without the lines that would stop it; nothing of one that was not searched to its end."""
    return await asyncio.to_thread(_hide, patch, baseline)


def hide_in_text(text: str) -> str:
    """Text for people (a title, a commit's message) without what has the form of a secret; up to some 10,000 characters."""
    from shared.secrets.scan_detectors import Detectors

    detectors = Detectors()
    text = hide_keys(text, HIDDEN)
    for line in text.split("\n"):
        for piece in pieces(AddedLine(0, line)):
            for _, value in detectors.find("", piece, formed_only=True):
                text = text.replace(value, HIDDEN)
    return text


def hide_in_json(value: Any) -> Any:
    """The same with each text cleaned as by `hide_in_text`: before it is cut, put on one line or escaped, which would hide the form."""
    if isinstance(value, str):
        return hide_in_text(value)
    if isinstance(value, dict):
        return {name: hide_in_json(each) for name, each in value.items()}
    return [hide_in_json(each) for each in value] if isinstance(value, list) else value


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


def _hide(patch: bytes, baseline: bytes | None) -> str:
    found = _scan(patch, baseline)
    if any(not each.finding.line and each.finding.kind != _MORE_MARKED for each in found):
        return NOT_SHOWN
    lines: dict[str, set[int]] = {}
    for each in (each for each in found if not each.finding.marked):
        lines.setdefault(each.finding.path, set()).update(each.numbers)
    values = {value for each in found if not each.finding.marked for value in each.values}
    if len(values) > _MOST_VALUES:
        return NOT_SHOWN
    text = without_lines(patch, lines, HIDDEN)
    for value in sorted(values, key=len, reverse=True):
        text = text.replace(value, HIDDEN)
    return text


def _scan(patch: bytes, baseline: bytes | None) -> list[_Found]:
    """At most `MOST_FINDINGS` that stop it, and as many that are marked; one without a line says that more may be there."""
    until = time.monotonic() + TIME_LIMIT_S
    known, removed = read_baseline(baseline), _Removed(patch, until)
    found: list[_Found] = []
    listed_marked, all_marked, path_marked = 0, 0, ""
    for file in read_patch(patch):
        for each in _scan_file(file, known, removed, until):
            if each.finding.line and each.finding.marked:
                all_marked, path_marked = all_marked + 1, file.path
                if listed_marked >= MOST_FINDINGS:
                    continue
                listed_marked += 1
            found.append(each)
            if not each.finding.line:
                return found
            if len(found) - listed_marked >= MOST_FINDINGS:
                return [*found, _Found(Finding(file.path, 0, _TOO_MANY, marked=True))]
    if all_marked > listed_marked:
        found.append(_Found(Finding(path_marked, 0, _MORE_MARKED, marked=True)))
    return found


def _scan_file(file: AddedFile, known: Baseline, removed: _Removed, until: float) -> Iterator[_Found]:
    from shared.secrets.scan_detectors import Detectors

    yield from (_of_key(file.path, key) for key in file.keys if not known.has(file.path, key.header) and not removed.has(*key.body))
    detectors = Detectors()
    for lines in file.blocks():
        if time.monotonic() > until:
            yield _Found(Finding(file.path, 0, _NOT_SEARCHED, marked=True))
            return
        for line in detectors.worth_a_look(lines):
            if time.monotonic() > until:
                yield _Found(Finding(file.path, 0, _NOT_SEARCHED, marked=True))
                return
            seen = detectors.find(file.path, line)
            new = [(kind, value) for kind, value in seen if not known.has(file.path, value) and not removed.has(value)]
            if new:
                values = tuple(value for _, value in new)
                yield _Found(Finding(file.path, line.number, new[0][0], line.is_marked), values, range(line.number, line.number + 1))


def _of_key(path: str, key: AddedKey) -> _Found:
    values = tuple(piece for piece in key.body if len(piece) >= 16)[:_MOST_OF_KEY]
    return _Found(Finding(path, key.first.number, "Private Key", key.first.is_marked), values, key.numbers)


class _Removed:
    """What the change takes away somewhere: the repository had it, so that it is only moved."""

    def __init__(self, patch: bytes, until: float) -> None:
        self._patch, self._until = patch, until
        self._text: str | None = None

    def has(self, *values: str) -> bool:
        """Whether it has all of them; when time is over, none."""
        if self._text is None:
            gone = (line[1:] for line in self._patch.split(b"\n") if line.startswith(b"-"))
            self._text = b"\n".join(gone).decode("utf-8", "replace")
        return all(time.monotonic() <= self._until and value in self._text for value in values)
