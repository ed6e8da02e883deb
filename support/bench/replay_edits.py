"""A commit's change as calls of the edit tools, written as a model writes them: exact text, diffs, whole files, commands for modes."""

from __future__ import annotations

import base64
import difflib
import re
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from replay_commits import Change, RealCommit, git

from agents.coder.dependencies import declared

Style = Literal["edits", "patch", "mixed"]
STYLES: tuple[Style, ...] = ("edits", "patch", "mixed")
SMALL = 150
"""Lines of a file that a model would rather write anew."""
MOST_EDITS = 40
"""Of one file; a model that has more to say writes a diff or the whole file."""
_AT_ONCE = 6


@dataclass(frozen=True)
class ToolCall:
    name: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Script:
    """What the model says: the plan, then one list of calls for each of its answers."""

    plan: dict[str, Any]
    rounds: tuple[tuple[ToolCall, ...], ...]


def write_script(commit: RealCommit, repository: Path, style: Style) -> Script:
    """Calls for the same file come in their order, one an answer; different files go side by side."""
    by_file = [[_read(change), *_calls(change, style)] for change in commit.changes]
    rounds: list[tuple[ToolCall, ...]] = []
    if style == "patch":
        in_patch = [change for change in commit.changes if _fits_a_patch(change)]
        by_file = [_calls(change, "edits") for change in commit.changes if change not in in_patch] + [_mode(change) for change in in_patch]
        if in_patch:
            rounds.append((ToolCall("apply_patch", {"patch": _patch(commit, in_patch, repository)}),))
    for number in range(max(map(len, by_file), default=0)):
        calls = [calls[number] for calls in by_file if number < len(calls)]
        rounds += [tuple(calls[at : at + _AT_ONCE]) for at in range(0, len(calls), _AT_ONCE)]
    return Script(_plan(commit), tuple(rounds))


def _plan(commit: RealCommit) -> dict[str, Any]:
    new: set[str] = set()
    for change in commit.changes:
        sides = (side.decode("utf-8", "replace") for side in (change.old, change.new))
        before, after = (declared(change.path, text) for text in sides)
        new |= after - before
    step = {"title": commit.subject[:200] or "Change the files", "files": [change.path for change in commit.changes]}
    if new:
        step["detail"] = "New dependencies: " + ", ".join(sorted(new))
    return {"summary": commit.subject[:400] or "Make the change", "steps": [step]}


def _read(change: Change) -> ToolCall:
    folder = change.path.rpartition("/")[0]
    if change.is_new or change.is_link or b"\0" in change.old:
        return ToolCall("list_files", {"pattern": folder or "**"})
    return ToolCall("read_file", {"path": change.path})


def _calls(change: Change, style: Style) -> list[ToolCall]:
    if change.is_link:
        return [_command(change)]
    if change.is_gone:
        return [ToolCall("delete_file", {"path": change.path})]
    text, wanted = change.old.decode("utf-8", "surrogateescape"), change.new.decode()
    if change.is_new:
        return [ToolCall("create_file", {"path": change.path, "content": wanted}), *_mode(change)]
    if text == wanted:
        return _mode(change)
    edits = exact_edits(change.path, text, wanted)
    if edits is None or (style == "mixed" and len(lines_of(wanted)) <= SMALL):
        edits = [ToolCall("create_file", {"path": change.path, "content": wanted, "overwrite": True})]
        if "\r\n" in text:
            # Written over, it would keep the line ends it has.
            executable = _chmod(change.path, "+x") if change.old_mode == "100755" else []
            edits = [ToolCall("delete_file", {"path": change.path}), *edits, *executable]
    return [*edits, *_mode(change)]


def _mode(change: Change) -> list[ToolCall]:
    if not change.turns_executable:
        return []
    return _chmod(change.path, "+x" if change.new_mode == "100755" else "-x")


def _chmod(path: str, sign: str) -> list[ToolCall]:
    return [ToolCall("run_command", {"command": f"chmod {sign} {shlex.quote(path)}"})]


def _command(change: Change) -> ToolCall:
    """What is a link, or becomes one, or ceases to be one."""
    path = shlex.quote(change.path)
    said = [f"rm -f {path}"]
    if change.new_mode == "120000":
        said.append(f"mkdir -p $(dirname {path}) && ln -s {shlex.quote(change.new.decode())} {path}")
    elif not change.is_gone:
        said.append(f"echo {base64.b64encode(change.new).decode()} | base64 -d > {path}")
        said += [f"chmod +x {path}"] if change.new_mode == "100755" else []
    return ToolCall("run_command", {"command": " && ".join(said)})


def exact_edits(path: str, text: str, wanted: str) -> list[ToolCall] | None:
    """Replacements from the last to the first, each of a text that is there once. None: the file is rather written anew."""
    ends = {side.count("\r\n") - side.count("\n") if "\r\n" in text else side.count("\r\n") for side in (text, wanted)}
    if not text or ends != {0}:
        return None
    # As a model writes it: it has seen no carriage return.
    text, wanted = text.replace("\r\n", "\n"), wanted.replace("\r\n", "\n")
    if (everywhere := _everywhere(path, text, wanted)) is not None:
        return [everywhere]
    now, after = lines_of(text), lines_of(wanted)
    calls: list[ToolCall] = []
    for kind, first, last, new_first, new_last in reversed(difflib.SequenceMatcher(None, now, after, autojunk=False).get_opcodes()):
        if kind == "equal":
            continue
        new = after[new_first:new_last]
        start, end = _unique(now, first, last)
        old = "".join(now[start:end])
        calls.append(ToolCall("edit_file", {"path": path, "old": old, "new": "".join([*now[start:first], *new, *now[last:end]])}))
        now[first:last] = new
    possible = all(_can_be_sent(call) and call.arguments["old"] != call.arguments["new"] for call in calls)
    return calls if possible and len(calls) <= MOST_EDITS else None


def _everywhere(path: str, text: str, wanted: str) -> ToolCall | None:
    """One replacement in every place, where that alone makes the change."""
    pairs = [(old, new) for old, new in zip(lines_of(text), lines_of(wanted), strict=False) if old != new]
    if len(pairs) < 2 or text.count("\n") != wanted.count("\n"):
        return None
    old, new = pairs[0]
    head = next((at for at, (one, other) in enumerate(zip(old, new, strict=False)) if one != other), min(len(old), len(new)))
    old, new = old[head:], new[head:]
    while old and new and old[-1] == new[-1]:
        old, new = old[:-1], new[:-1]
    if not old or text.count(old) < 2 or text.replace(old, new) != wanted:
        return None
    call = ToolCall("edit_file", {"path": path, "old": old, "new": new, "every": True})
    return call if _can_be_sent(call) else None


def _unique(lines: list[str], first: int, last: int) -> tuple[int, int]:
    """The smallest piece around the lines that is in the file once."""
    text = "".join(lines)
    start, end = first, last
    while not (old := "".join(lines[start:end])) or text.find(old) != text.rfind(old):
        if (start, end) == (0, len(lines)):
            break
        start, end = max(0, start - 1), min(len(lines), end + 1)
    return start, end


def lines_of(text: str) -> list[str]:
    """With their ends, as git and editors count them: a form feed ends no line."""
    return re.findall(r"[^\n]*\n|[^\n]+", text)


def _can_be_sent(call: ToolCall) -> bool:
    """JSON carries characters, not the bytes of another encoding."""
    try:
        "".join(str(value) for value in call.arguments.values()).encode()
    except UnicodeEncodeError:
        return False
    return True


def _fits_a_patch(change: Change) -> bool:
    """Text on both sides, with at least one changed line."""
    if change.is_link or change.old == change.new or b"\0" in change.old:
        return False
    try:
        change.old.decode()
    except UnicodeDecodeError:
        return False
    return True


def _patch(commit: RealCommit, changes: list[Change], repository: Path) -> str:
    """As git prints it; the mode of a file is not for a patch to change."""
    paths = [change.path for change in changes]
    text = git(repository, "diff", "--no-renames", "--no-color", "--no-ext-diff", "--text", commit.parent, commit.id, "--", *paths).decode()
    return "\n".join(line for line in text.split("\n") if not line.startswith(("old mode ", "new mode ")))
