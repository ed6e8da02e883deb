"""A review in words: one line, and a report by file. Text of a model stays text."""

from __future__ import annotations

import re

from shared.types import Json

_VERDICTS = {"looks_good": "looks good", "needs_changes": "needs changes", "none": "no review"}


def counted(review: Json) -> str:
    """`needs changes: 1 blocker, 2 notes`."""
    found = [comment["severity"] for comment in review["comments"]]
    numbers = [(name, found.count(name)) for name in ("blocker", "warning", "note") if name in found]
    parts = ", ".join(f"{number} {name}{'' if number == 1 else 's'}" for name, number in numbers)
    return f"{_VERDICTS[review['verdict']]}: {parts or 'no comments'}"


def report(review: Json, static: str | None = None) -> str:
    """Markdown: the verdict, the summary, the comments by file, and what static analysis found."""
    parts = [f"# Review of {_line(review['subject'])}", f"**{counted(review)}** (by {review['by']})", _quiet(review["summary"])]
    files = dict.fromkeys(comment["file"] for comment in review["comments"])
    for path in sorted(files):
        own = sorted((comment for comment in review["comments"] if comment["file"] == path), key=lambda comment: comment["line"])
        parts += [f"## {_line(path)}", "\n".join(_comment(comment) for comment in own)]
    if review["left_out"]:
        parts.append(f"Left out: {review['left_out']} comment{'s' * (review['left_out'] != 1)} about lines that do not exist.")
    if static:
        parts += ["## Static analysis", static]
    return "\n\n".join(parts) + "\n"


def _comment(comment: Json) -> str:
    text = _quiet(comment["comment"]).replace("\n", "\n  ")
    lines = [f"- **{comment['severity']}** line {comment['line']}: {text}"]
    if suggestion := comment["suggestion"].strip("\n"):
        fence = "`" * max(3, max((len(run) for run in re.findall(r"`+", suggestion)), default=0) + 1)
        body = "\n".join(f"  {line}" for line in suggestion.split("\n"))
        lines.append(f"  {fence}\n{body}\n  {fence}")
    return "\n".join(lines)


def _quiet(text: str) -> str:
    """No HTML; headings of its own stay in their place."""
    return re.sub(r"^(#{1,6} )", r"\\\1", text.strip().replace("<", "&lt;"), flags=re.MULTILINE)


def _line(text: str) -> str:
    return " ".join(str(text).split())[:300]
