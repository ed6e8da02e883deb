"""Branch names that git accepts, from any title."""

from __future__ import annotations

import re
import unicodedata

PREFIX = "persevere/"
_SLUG_LENGTH = 48


def slug(title: str) -> str:
    """ASCII letters, digits and single hyphens, at most 48 characters; empty when nothing is left."""
    plain = unicodedata.normalize("NFKD", title).encode("ascii", "ignore").decode().lower()
    words = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")
    if len(words) > _SLUG_LENGTH:
        cut = words[: _SLUG_LENGTH + 1]
        words = cut[: cut.rfind("-")] if "-" in cut else cut[:_SLUG_LENGTH]
    return words.strip("-")


def branch_name(task_id: str, title: str) -> str:
    """`persevere/<task>-<slug>`; the same for the same task and title."""
    task = re.sub(r"[^A-Za-z0-9_-]+", "-", task_id.removeprefix("task_")).strip("-") or "task"
    words = slug(title)
    return f"{PREFIX}{task}-{words}" if words else f"{PREFIX}{task}"
