"""The lines that a patch in git's format adds. Binary parts are passed over: git's own form for them holds no text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from shared.secrets import scan_keys

BLOCK_CHARACTERS = 64_000
"""What is searched at once: a limit in time is looked at in between."""
PIECE, OVERLAP = 2_000, 400
"""Characters: a longer line is searched piece by piece, since a detector's time may grow with the square of a line's length."""
_HUNK = re.compile(rb"^@@ -\d+(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_MARK = re.compile(r"pragma: ?(?:allow|white)list[ -](nextline[ -])?secret", re.IGNORECASE)
_ESCAPE = re.compile(rb'\\([0-7]{3}|[abtnvfr"\\])')
_NAMED = {b"a": b"\a", b"b": b"\b", b"t": b"\t", b"n": b"\n", b"v": b"\v", b"f": b"\f", b"r": b"\r", b'"': b'"', b"\\": b"\\"}


@dataclass(frozen=True)
class AddedLine:
    """`before` is the line above it in the new file, where the patch shows it."""

    number: int
    text: str
    before: str = ""

    @property
    def is_marked(self) -> bool:
        """Whether detect-secrets' own comment, on it or above it, says that it holds no secret."""
        here, above = _MARK.search(self.text), _MARK.search(self.before)
        return (here is not None and here[1] is None) or (above is not None and above[1] is not None)


@dataclass(frozen=True)
class AddedKey:
    """The part of a private key that the change adds: `first` added line, `numbers` of all lines, `body`: what is secret."""

    header: str
    first: AddedLine
    numbers: range
    body: tuple[str, ...]


@dataclass
class AddedFile:
    path: str
    lines: list[AddedLine] = field(default_factory=list)
    keys: list[AddedKey] = field(default_factory=list)

    def blocks(self) -> Iterator[list[AddedLine]]:
        block: list[AddedLine] = []
        size = 0
        for piece in (piece for line in self.lines for piece in pieces(line)):
            block.append(piece)
            size += len(piece.text)
            if size > BLOCK_CHARACTERS:
                yield block
                block, size = [], 0
        if block:
            yield block


def pieces(line: AddedLine) -> Iterator[AddedLine]:
    """A line of any length as lines that can be searched."""
    if len(line.text) <= PIECE:
        yield line
        return
    for at in range(0, len(line.text) - OVERLAP, PIECE - OVERLAP):
        yield AddedLine(line.number, line.text[at : at + PIECE], line.before)


def read_patch(patch: bytes) -> Iterator[AddedFile]:
    """The files of a patch with what it adds to them. Hunks are read by their counts: an added line may look like a header."""
    lines = iter(patch.split(b"\n"))
    keys = any(trace in patch for trace in scan_keys.TRACES)
    file: AddedFile | None = None
    for line in lines:
        if line.startswith(b"diff --git "):
            if file is not None:
                yield file
            file = AddedFile(_path_of(line[len(b"diff --git ") :]))
        elif file is not None and line.startswith(b"+++ ") and line[4:].strip() != b"/dev/null":
            file.path = _path_of(line[4:])
        elif file is not None and (hunk := _HUNK.match(line)):
            first = len(file.lines)
            shown = _read_hunk(lines, file, *(1 if count is None else int(count) for count in (hunk[1], hunk[2], hunk[3])))
            if keys:
                file.keys += _added_keys(shown, int(hunk[2]), {line.number: line for line in file.lines[first:]})
        elif line.startswith(b"+++ "):
            # A plain patch, without git's header.
            if file is not None:
                yield file
            file = AddedFile(_path_of(line[4:]))
    if file is not None:
        yield file


def _read_hunk(lines: Iterator[bytes], file: AddedFile, old: int, number: int, new: int) -> list[str]:
    """Adds to `file` what is added to it; answers all lines of the new side."""
    shown: list[str] = []
    before = ""
    while old > 0 or new > 0:
        line = next(lines, None)
        if line is None:
            return shown
        text = line[1:].decode("utf-8", "replace").rstrip("\r")
        match line[:1]:
            case b"+":
                file.lines.append(AddedLine(number, text, before))
                shown.append(text)
                before, number, new = text, number + 1, new - 1
            case b"-":
                old -= 1
            case b"\\":
                continue
            case _:
                shown.append(text)
                before, number, old, new = text, number + 1, old - 1, new - 1
    return shown


def _added_keys(shown: list[str], start: int, added: dict[int, AddedLine]) -> Iterator[AddedKey]:
    """Those of which the change adds a part that is secret."""
    for key in scan_keys.find_keys(shown):
        numbers = range(start + key.lines.start, start + key.lines.stop)
        if body := tuple(piece for index, piece in key.body if start + index in added):
            yield AddedKey(key.header, next(added[number] for number in numbers if number in added), numbers, body)


def without_lines(patch: bytes, hidden: dict[str, set[int]], sign: str) -> str:
    """The patch as text, `sign` in place of these added lines (numbers by path)."""
    shown: list[str] = []
    path, number, old, new = "", 0, 0, 0
    for line in patch.split(b"\n"):
        text = line.decode("utf-8", "replace")
        if old > 0 or new > 0:
            if text.startswith("+") and number in hidden.get(path, ()):
                text = f"+{sign}"
            if not text.startswith("\\"):
                added, removed = text.startswith("+"), text.startswith("-")
                number, new, old = number + (not removed), new - (not removed), old - (not added)
        elif line.startswith(b"diff --git "):
            path = _path_of(line[len(b"diff --git ") :])
        elif line.startswith(b"+++ ") and line[4:].strip() != b"/dev/null":
            path = _path_of(line[4:])
        elif hunk := _HUNK.match(line):
            old, number, new = (1 if count is None else int(count) for count in (hunk[1], hunk[2], hunk[3]))
        shown.append(text)
    return "\n".join(shown)


def _path_of(name: bytes) -> str:
    """`b/path`, or git's quoted form of it; of `a/path b/path` the second."""
    name = name.rstrip(b"\r").split(b"\t")[0]
    if name.endswith(b'"') and b'"' in name[:-1]:
        quoted = name[name.rindex(b'"b/') + 1 : -1] if b'"b/' in name else name.strip(b'"')
        name = _ESCAPE.sub(lambda found: _NAMED.get(found[1]) or bytes([int(found[1], 8)]), quoted)
    elif name.startswith(b"a/") and b" b/" in name:
        name = name[name.rindex(b" b/") + 1 :]
    return name.removeprefix(b"b/").decode("utf-8", "replace")
