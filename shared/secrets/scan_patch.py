"""The lines that a patch in git's format adds. Binary parts are passed over: git's own form for them holds no text."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

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
    """`before` is the line above it in the new file, where the patch shows it; `after` the next added one."""

    number: int
    text: str
    before: str = ""
    after: str = ""

    @property
    def is_marked(self) -> bool:
        """Whether detect-secrets' own comment, on it or above it, says that it holds no secret."""
        here, above = _MARK.search(self.text), _MARK.search(self.before)
        return (here is not None and here[1] is None) or (above is not None and above[1] is not None)


@dataclass
class AddedFile:
    path: str
    lines: list[AddedLine] = field(default_factory=list)

    def blocks(self) -> Iterator[list[AddedLine]]:
        block: list[AddedLine] = []
        size = 0
        for piece in (piece for line in self.lines for piece in _pieces(line)):
            block.append(piece)
            size += len(piece.text)
            if size > BLOCK_CHARACTERS:
                yield block
                block, size = [], 0
        if block:
            yield block


def _pieces(line: AddedLine) -> Iterator[AddedLine]:
    if len(line.text) <= PIECE:
        yield line
        return
    for at in range(0, len(line.text) - OVERLAP, PIECE - OVERLAP):
        yield AddedLine(line.number, line.text[at : at + PIECE], line.before, line.after)


def read_patch(patch: bytes) -> Iterator[AddedFile]:
    """The files of a patch with what it adds to them. Hunks are read by their counts: an added line may look like a header."""
    lines = iter(patch.split(b"\n"))
    file: AddedFile | None = None
    for line in lines:
        if line.startswith(b"diff --git "):
            if file is not None:
                yield file
            file = AddedFile(_path_of(line[len(b"diff --git ") :]))
        elif file is not None and line.startswith(b"+++ ") and line[4:].strip() != b"/dev/null":
            file.path = _path_of(line[4:])
        elif file is not None and (hunk := _HUNK.match(line)):
            _read_hunk(lines, file, *(1 if count is None else int(count) for count in (hunk[1], hunk[2], hunk[3])))
        elif line.startswith(b"+++ "):
            # A plain patch, without git's header.
            if file is not None:
                yield file
            file = AddedFile(_path_of(line[4:]))
    if file is not None:
        yield file


def _read_hunk(lines: Iterator[bytes], file: AddedFile, old: int, number: int, new: int) -> None:
    before = ""
    while old > 0 or new > 0:
        line = next(lines, None)
        if line is None:
            return
        text = line[1:].decode("utf-8", "replace").rstrip("\r")
        match line[:1]:
            case b"+":
                if file.lines and file.lines[-1].number == number - 1:
                    last = file.lines[-1]
                    file.lines[-1] = AddedLine(last.number, last.text, last.before, text)
                file.lines.append(AddedLine(number, text, before))
                before, number, new = text, number + 1, new - 1
            case b"-":
                old -= 1
            case b"\\":
                continue
            case _:
                before, number, old, new = text, number + 1, old - 1, new - 1


def _path_of(name: bytes) -> str:
    """`b/path`, or git's quoted form of it; of `a/path b/path` the second."""
    name = name.rstrip(b"\r").split(b"\t")[0]
    if name.endswith(b'"') and b'"' in name[:-1]:
        quoted = name[name.rindex(b'"b/') + 1 : -1] if b'"b/' in name else name.strip(b'"')
        name = _ESCAPE.sub(lambda found: _NAMED.get(found[1]) or bytes([int(found[1], 8)]), quoted)
    elif name.startswith(b"a/") and b" b/" in name:
        name = name[name.rindex(b" b/") + 1 :]
    return name.removeprefix(b"b/").decode("utf-8", "replace")
