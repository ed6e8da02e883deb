"""Reading a pasted unified diff: the new content of each file and which lines were added."""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from shared.errors import InvalidRequestError, NotFoundError
from shared.recipes.port import RecipeWorkspace

_HUNK = re.compile(r"@@ -(\d+)(?:,(\d+))? \+(\d+)(?:,(\d+))? @@")


@dataclass
class PatchedFile:
    """`content` is None when the diff does not fit the file in the repository; `added` maps new line numbers to text."""

    content: str | None = None
    added: dict[int, str] = field(default_factory=dict)
    hunks: list[tuple[int, list[str]]] = field(default_factory=list)


def parse_patch(patch: str) -> dict[str, PatchedFile]:
    """The changed files of a unified diff by their new path; deleted files are left out."""
    files: dict[str, PatchedFile] = {}
    current: PatchedFile | None = None
    old_left = new_left = number = 0
    for line in patch.splitlines():
        if old_left > 0 or new_left > 0:
            sign = line[:1] or " "
            if current is not None:
                current.hunks[-1][1].append(line or " ")
                if sign == "+":
                    current.added[number] = line[1:]
            number += sign in "+ "
            new_left -= sign in "+ "
            old_left -= sign in "- "
        elif line.startswith("+++ "):
            name = line[4:].partition("\t")[0].strip().strip('"')
            current = None if name == "/dev/null" else files.setdefault(re.sub(r"^b/", "", name), PatchedFile())
        elif found := _HUNK.match(line):
            old_left, new_left, number = int(found[2] or 1), int(found[4] or 1), int(found[3])
            if current is not None:
                current.hunks.append((int(found[1]), []))
    return files


async def new_files(patch: str, workspace: RecipeWorkspace) -> dict[str, PatchedFile]:
    """The files of the diff with their new content, as far as the diff fits the workspace's tree."""
    files = parse_patch(patch)
    for path, file in files.items():
        try:
            base = (await workspace.read(path)).decode("utf-8", errors="replace")
        except NotFoundError:
            base = ""
        except InvalidRequestError:
            continue
        file.content = _patched(base.splitlines(), file.hunks)
        if file.content is None:
            file.content = _alone(file)
    return files


def _patched(lines: list[str], hunks: list[tuple[int, list[str]]]) -> str | None:
    result: list[str] = []
    at = 0
    for start, body in hunks:
        begin = max(start - 1, 0)
        old = [line[1:] for line in body if line[:1] in (" ", "-")]
        if begin < at or lines[begin : begin + len(old)] != old:
            return None
        result += lines[at:begin] + [line[1:] for line in body if line[:1] in (" ", "+")]
        at = begin + len(old)
    return "\n".join([*result, *lines[at:]]) + "\n"


def _alone(file: PatchedFile) -> str | None:
    """A diff against another tree: only a file that is wholly new can be analysed."""
    whole = len(file.hunks) == 1 and all(line.startswith("+") for line in file.hunks[0][1])
    return "\n".join(line[1:] for line in file.hunks[0][1]) + "\n" if whole else None
