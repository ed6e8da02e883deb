"""Applies a unified diff as a model writes it: line numbers may be wrong, the lines themselves may not."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from shared.errors import InvalidRequestError

_HUNK = re.compile(r"^@@(?: -(\d+)(?:,\d+)? \+\d+(?:,\d+)? @@)?")
_REFUSED = ("rename from", "rename to", "copy from", "copy to", "old mode", "new mode", "GIT binary patch", "Binary files")


@dataclass
class Hunk:
    """Lines before and after, each with its line end. `line`: where it claims to be, from 1; 0 when it does not say."""

    line: int
    before: list[str] = field(default_factory=list)
    after: list[str] = field(default_factory=list)


@dataclass
class FilePatch:
    """`old` None: the file is made; `new` None: it is removed."""

    old: str | None
    new: str | None
    hunks: list[Hunk] = field(default_factory=list)


def parse(patch: str) -> list[FilePatch]:
    """The files of a unified diff. InvalidRequestError names the line that cannot be understood."""
    found: list[FilePatch] = []
    lines = patch.splitlines(keepends=True)
    index = 0
    while index < len(lines):
        line = lines[index]
        if line.startswith(_REFUSED):
            raise InvalidRequestError(f"A patch may not do this: {line.strip()}.", "Use the other tools for it.")
        if line.startswith("--- ") and index + 1 < len(lines) and lines[index + 1].startswith("+++ "):
            found.append(FilePatch(_name(line), _name(lines[index + 1])))
            index += 2
        elif match := _HUNK.match(line):
            if not found:
                raise InvalidRequestError("The patch has a hunk without a file.", "Begin each file with `--- a/path` and `+++ b/path`.")
            index = _read_hunk(lines, index + 1, Hunk(int(match[1] or 0)), found[-1])
        else:
            index += 1
    if not found or any(not file.hunks and file.new is not None for file in found):
        raise InvalidRequestError("This is not a unified diff with at least one hunk for each file.", "Use edit_file instead.")
    return found


def apply(text: str, file: FilePatch, path: str) -> str:
    """The text after the hunks. InvalidRequestError when a hunk's lines are not there, or are there more than once."""
    lines = text.splitlines(keepends=True)
    shift = 0
    for number, hunk in enumerate(file.hunks, 1):
        at = _place(lines, hunk, shift, f"Hunk {number} of {path}")
        lines[at : at + len(hunk.before)] = hunk.after
        shift += len(hunk.after) - len(hunk.before)
    return "".join(lines)


def _read_hunk(lines: list[str], index: int, hunk: Hunk, file: FilePatch) -> int:
    while index < len(lines):
        line = lines[index]
        if line.startswith(("@@", "diff --git ")) or (
            line.startswith("--- ") and lines[index + 1 : index + 2] and lines[index + 1].startswith("+++ ")
        ):
            break
        if line.startswith("\\"):
            for side in (hunk.before, hunk.after):
                if side and lines[index - 1][:1] in (" ", "-" if side is hunk.before else "+"):
                    side[-1] = side[-1].rstrip("\n")
        elif line[:1] in "+- " or line == "\n":
            body = line[1:] if line != "\n" else "\n"
            if line[:1] != "+":
                hunk.before.append(body)
            if line[:1] != "-":
                hunk.after.append(body)
        else:
            raise InvalidRequestError(f"A line of the patch begins with none of `+`, `-` and a space: {line.strip()[:80]}")
        index += 1
    file.hunks.append(hunk)
    return index


def _place(lines: list[str], hunk: Hunk, shift: int, where: str) -> int:
    if not hunk.before:
        return min(len(lines), max(0, hunk.line + shift))
    bare = [line.rstrip("\r\n") for line in lines]
    wanted = [line.rstrip("\r\n") for line in hunk.before]
    claimed = hunk.line - 1 + shift
    if hunk.line and bare[claimed : claimed + len(wanted)] == wanted:
        return claimed
    places = [at for at in range(len(bare) - len(wanted) + 1) if bare[at : at + len(wanted)] == wanted]
    if len(places) == 1:
        return places[0]
    problem = "is not in the file" if not places else f"is in the file {len(places)} times"
    raise InvalidRequestError(
        f"{where} {problem}; nothing was changed.", "Read the file and write the lines exactly, with more lines around them."
    )


def _name(line: str) -> str | None:
    name = line[4:].split("\t")[0].strip().strip('"')
    if name == "/dev/null":
        return None
    return name[2:] if name[:2] in ("a/", "b/") else name
