"""Named things in a message: tasks, approvals, paths, symbols."""

from __future__ import annotations

import re

from shared.intent.text import Text
from shared.types import Json

TASK_REFERENCE = (
    r"(?:task_[0-9a-z]{4,}|(?:job|task|run|ticket|build)s? #?\d+|#\d+|\b\d{3,6}\b(?!\s*(?:percent|lines|tests|ms|mb|kb|gb|px|not\b|error)))"
)
APPROVAL_REFERENCE = r"(?:appr?_[0-9a-z]{4,}|approval_[0-9a-z]{4,}|(?:cr|pr|mr)[- ]?#?\d+|(?:change|pull|merge) request #?\d+)"

_TASK = re.compile(r"\btask_[0-9a-z]{4,}\b|\b(?:job|task|run|ticket) #?(\d+)\b|(?<![\w.#/-])(\d{3,6})(?![\w.%/-])")
_APPROVAL = re.compile(rf"\b{APPROVAL_REFERENCE}\b")
_PATH = re.compile(
    r"(?<![\w/])(?:[\w.-]+/)+[\w.-]+|\b[\w-]+\.(?:py|js|ts|tsx|jsx|go|rs|java|rb|md|rst|ya?ml|toml|json|sql|sh|cfg|ini|css|html|c|h|cpp)\b"
)
_SYMBOL = re.compile(r"`([^`]{1,120})`|\b([A-Za-z]+_\w+|[a-z]+[A-Z]\w*|[A-Z][a-z]+[A-Z]\w*|\w+\(\))")


def find_entities(text: Text) -> Json:
    """`tasks`, `approvals`, `paths`, `symbols`: lists without repeats, at most 10 each; only those that were found."""
    found = {
        "tasks": [m.group(1) or m.group(2) or m.group(0) for m in _TASK.finditer(text.low)],
        "approvals": [m.group(0) for m in _APPROVAL.finditer(text.low)],
        "paths": [m.group(0) for m in _PATH.finditer(text.raw)],
        "symbols": [m.group(1) or m.group(2) for m in _SYMBOL.finditer(text.raw)],
    }
    return {name: list(dict.fromkeys(values))[:10] for name, values in found.items() if values}


def names_code(text: Text) -> bool:
    """Whether a path or a symbol is written out: a sign that the message is about code."""
    return bool(_PATH.search(text.raw) or _SYMBOL.search(text.raw))
