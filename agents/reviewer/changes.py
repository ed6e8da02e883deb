"""A unified diff as a reviewer reads it: each line with its number, and whether a line is part of it."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from agents.loop.text import LINE_LIMIT

_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")
_SHOWN = 60_000
"""Characters of a diff that are shown at once; the rest is read file by file."""
_FILE_SHOWN = 30_000


@dataclass
class FileChange:
    """`rows` are (sign, number, text): the number is that of the new file, of the old one for a removed line."""

    path: str
    kind: str = "changed"
    rows: list[tuple[str, int, str]] = field(default_factory=list)

    def has(self, line: int) -> bool:
        """Whether the diff shows this line; of a removed file the old lines count."""
        wanted = ("-",) if self.kind == "removed" else ("+", " ")
        return any(number == line and sign in wanted for sign, number, _ in self.rows)

    def shown(self) -> str:
        lines = [f"{self.path} ({self.kind})" + ("" if self.rows else ": no lines to show")]
        before = 0
        for sign, number, text in self.rows:
            if sign == "@":
                lines.append("  ...")
                continue
            at = "" if sign == "-" and self.kind != "removed" else str(number)
            lines.append(f"{at:>6} {sign} {text[:LINE_LIMIT]}")
            before += len(text)
            if before > _FILE_SHOWN:
                lines.append("[the rest of this file's change is left out; read the file]")
                break
        return "\n".join(lines)


def read_changes(patch: bytes) -> dict[str, FileChange]:
    """The changed files by path: the new one, or the old one of a removed file."""
    files: dict[str, FileChange] = {}
    current: FileChange | None = None
    old = new = old_left = new_left = 0
    for line in patch.decode("utf-8", "replace").split("\n"):
        if current is not None and (old_left > 0 or new_left > 0):
            sign = line[:1] if line[:1] in ("+", "-", " ") else " "
            if line.startswith("\\"):
                continue
            current.rows.append((sign, old if sign == "-" else new, line[1:].rstrip("\r")))
            old, new = old + (sign != "+"), new + (sign != "-")
            old_left, new_left = old_left - (sign != "+"), new_left - (sign != "-")
        elif found := _HUNK.match(line):
            old, new = int(found[1]), int(found[3])
            old_left, new_left = int(found[2] or 1), int(found[4] or 1)
            if current is not None and current.rows:
                current.rows.append(("@", 0, ""))
        elif line.startswith("diff --git "):
            path = line.rpartition(" b/")[2].strip('"')
            current = files.setdefault(path, FileChange(path))
        elif line.startswith(("new file", "deleted file", "Binary files", "GIT binary")) and current is not None:
            current.kind = {"n": "new", "d": "removed"}.get(
                line[0], f"{current.kind}, not text" if "not" not in current.kind else current.kind
            )
        elif line.startswith(("--- ", "+++ ")):
            current = _named(files, current, line)
    return files


def _named(files: dict[str, FileChange], current: FileChange | None, line: str) -> FileChange | None:
    """A diff made by git names its files before; one that was not only in these lines."""
    name = line[4:].partition("\t")[0].strip().strip('"')
    path = re.sub(r"^[ab]/", "", name)
    if line.startswith("--- "):
        return current if current is not None and current.path == path else FileChange(path, "new" if name == "/dev/null" else "changed")
    if current is not None and current.path in files:
        return current
    if name == "/dev/null" and current is not None:
        return files.setdefault(current.path, FileChange(current.path, "removed"))
    return files.setdefault(path, FileChange(path, current.kind if current is not None else "changed"))


def shown(changes: dict[str, FileChange]) -> str:
    """The whole change as far as it fits; what does not is named."""
    parts: list[str] = []
    left, later = _SHOWN, []
    for path, change in changes.items():
        text = change.shown()
        if len(text) > left:
            later.append(path)
            continue
        parts.append(text)
        left -= len(text)
    if later:
        parts.append("[not shown here, read each with show_change: " + ", ".join(later[:200]) + "]")
    return "\n\n".join(parts)
