"""Where a text that was not found is nearly there: what a model needs to get its next try right."""

from __future__ import annotations

import difflib

from agents.loop.text import numbered

_LINES_SEARCHED = 20_000
_LIKE = 0.6


def near_misses(text: str, wanted: str) -> str:
    """The most similar lines with their numbers, and what is different where it is only white space; empty when nothing is near."""
    lines, sought = text.splitlines()[:_LINES_SEARCHED], wanted.strip("\n").splitlines()
    if not sought or not lines:
        return ""
    squeezed = [" ".join(line.split()) for line in sought]
    count = len(sought)
    for at in range(len(lines) - count + 1):
        if [" ".join(line.split()) for line in lines[at : at + count]] == squeezed:
            return f"Only white space is different. The file has:\n{numbered(text, at + 1, at + count)}"
    anchor = max(sought, key=lambda line: len(line.strip()))
    matcher = difflib.SequenceMatcher(b=anchor.strip())
    best, where = 0.0, 0
    for number, line in enumerate(lines):
        matcher.set_seq1(line.strip())
        if matcher.real_quick_ratio() > best and matcher.quick_ratio() > best and (ratio := matcher.ratio()) > best:
            best, where = ratio, number
    if best < _LIKE:
        return ""
    first = max(0, where - sought.index(anchor))
    return f"The most similar lines are:\n{numbered(text, first + 1, first + count)}"
