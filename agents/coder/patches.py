"""Applies a unified diff as a model writes it: line numbers may be wrong, the lines themselves may not."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from shared.errors import InvalidRequestError

_HUNK = re.compile(r"^@@(?: -(\d+)(?:,\d+)? \+\d+(?:,\d+)? @@)?")
_REFUSED = (
    *("rename from", "rename to", "copy from", "copy to", "old mode", "new mode", "GIT binary patch", "Binary files"),
    *("new file mode 120000", "new file mode 160000", "deleted file mode 120000", "deleted file mode 160000"),
)


@dataclass
class Hunk:
    """Its lines as (sign, text with its line end). `line`: where it claims to be, from 1; 0 when it does not say."""

    line: int
    lines: list[tuple[str, str]] = field(default_factory=list)

    @property
    def before(self) -> list[str]:
        return [text for sign, text in self.lines if sign != "+"]


@dataclass
class FilePatch:
    """`old` None: the file is made; `new` None: it is removed. `executable`: a new file that the patch makes executable."""

    old: str | None
    new: str | None
    hunks: list[Hunk] = field(default_factory=list)
    executable: bool = False


def parse(patch: str) -> list[FilePatch]:
    """The files of a unified diff. InvalidRequestError names the line that cannot be understood."""
    found: list[FilePatch] = []
    lines = _lines(patch if patch.endswith("\n") else patch + "\n")
    index, name, mode = 0, "", ""
    while index < len(lines):
        line = lines[index]
        if line.startswith(_REFUSED):
            raise InvalidRequestError(f"A patch may not do this: {line.strip()}.", "Use the other tools for it.")
        if line.startswith("diff --git "):
            name, mode = _name_of_both(line), ""
        elif line.startswith(("new file mode ", "deleted file mode ")):
            mode = line.strip()
            if name and _is_empty(lines, index):
                # git says no more of a file without content.
                found.append(FilePatch(None, name, [], mode.endswith("755")) if mode[0] == "n" else FilePatch(name, None))
        elif _begins_file(lines, index):
            found.append(FilePatch(_name(line), _name(lines[index + 1])))
            found[-1].executable = found[-1].old is None and mode.endswith("755")
            index += 1
        elif match := _HUNK.match(line):
            if not found:
                raise InvalidRequestError("The patch has a hunk without a file.", "Begin each file with `--- a/path` and `+++ b/path`.")
            index = _read_hunk(lines, index + 1, Hunk(int(match[1] or 0)), found[-1]) - 1
        index += 1
    if not found or any(not file.hunks and None not in (file.old, file.new) for file in found):
        raise InvalidRequestError("This is not a unified diff with at least one hunk for each file.", "Use edit_file instead.")
    return found


def apply(text: str, file: FilePatch, path: str) -> str:
    """The text after the hunks. InvalidRequestError when a hunk's lines are not there, or are there more than once.

    Lines that stay are the file's own, and new ones end as those beside them do: a model writes `\\n`.
    """
    lines = _lines(text)
    shift = 0
    for number, hunk in enumerate(file.hunks, 1):
        at = _place(lines, hunk, shift, f"Hunk {number} of {path}")
        there = lines[at : at + len(hunk.before)]
        after = _after(hunk, there, there or lines[at - 1 : at] or lines[:1])
        lines[at : at + len(there)] = after
        shift += len(after) - len(there)
    last = len(lines) - 1
    end = "\r\n" if "\r\n" in text else "\n"
    return "".join(line if number == last or line.endswith("\n") else line + end for number, line in enumerate(lines))


def _after(hunk: Hunk, there: list[str], beside: list[str]) -> list[str]:
    says = any(text.endswith("\r\n") for _, text in hunk.lines)
    end = "\r\n" if not says and any(line.endswith("\r\n") for line in beside) else "\n"
    own = iter(there)
    after = []
    for sign, text in hunk.lines:
        line = next(own) if sign != "+" else text.replace("\n", end)
        if sign != "-":
            after.append(line)
    return after


def _read_hunk(lines: list[str], index: int, hunk: Hunk, file: FilePatch) -> int:
    while index < len(lines):
        line = lines[index]
        if line.startswith(("@@", "diff --git ")) or _begins_file(lines, index):
            break
        if line.startswith("\\"):
            if hunk.lines:
                sign, text = hunk.lines[-1]
                hunk.lines[-1] = (sign, text.rstrip("\n"))
        elif line in ("\n", "\r\n"):
            hunk.lines.append((" ", line))
        elif line[0] in "+- ":
            hunk.lines.append((line[0], line[1:]))
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


def _lines(text: str) -> list[str]:
    """With their ends. Only a line feed ends a line: a form feed in a source file does not."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def _begins_file(lines: list[str], index: int) -> bool:
    return lines[index].startswith("--- ") and index + 1 < len(lines) and lines[index + 1].startswith("+++ ")


def _is_empty(lines: list[str], index: int) -> bool:
    """Whether nothing of the file's content follows its mode."""
    rest = [line for line in lines[index + 1 : index + 3] if not line.startswith("index ")]
    return not rest or not rest[0].strip() or rest[0].startswith("diff --git ")


def _name(line: str) -> str | None:
    name = _unquoted(line[4:].split("\t")[0].strip())
    if name == "/dev/null":
        return None
    return name[2:] if name[:2] in ("a/", "b/") else name


def _name_of_both(line: str) -> str:
    """Of `diff --git a/NAME b/NAME`; empty when the two differ."""
    both = line.removeprefix("diff --git ").strip()
    old, new = (part.strip() for part in (both[: len(both) // 2], both[len(both) // 2 :]))
    old, new = _unquoted(old), _unquoted(new)
    return old[2:] if old[2:] == new[2:] else ""


def _unquoted(name: str) -> str:
    """git puts quotes around an unusual name and writes its bytes in octal."""
    if len(name) < 2 or name[0] != '"' or name[-1] != '"':
        return name
    raw = re.sub(rb"\\([0-7]{3})", lambda found: bytes([int(found[1], 8) & 255]), name[1:-1].encode("utf-8", "surrogateescape"))
    return re.sub(rb'\\(["\\])', rb"\1", raw).decode("utf-8", "replace")
