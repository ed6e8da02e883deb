"""The words of a commit and a pull request. The same input gives the same text; text from elsewhere stays text."""

from __future__ import annotations

import re
import unicodedata

from shared.store.records import Task
from shared.types import Json, Plan, TestResults

_ASKED_LIMIT = 4000
_LIST_LIMIT = 30
_BREAK = "\u200b"
_VERDICTS = {
    "passed": "passed",
    "failed": "failed",
    "none": "no tests were found",
    "error": "could not be run",
    "timeout": "stopped at the time limit",
}


def title_of(plan: Plan, task: Task, limit: int = 72) -> str:
    """One plain line of at most `limit` characters."""
    for text in (plan.summary, task.title, task.prompt):
        line = _one_line(text)
        if line:
            return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"
    return "Change by Persevere"


def must_be_draft(results: TestResults | None) -> bool:
    """Without green tests it is a draft; tests that were red before and are red alike do not count against the change."""
    if results is None or results.newly_failing:
        return True
    return results.verdict != "passed" and not (results.verdict == "failed" and results.failing_before)


def commit_message(title: str, plan: Plan, task: Task) -> str:
    lines = [f"- {_one_line(step.title)}" for step in plan.steps[:_LIST_LIMIT]]
    return "\n".join([title, "", *lines, *([""] if lines else []), f"Persevere-Task: {task.id}", ""])


def pull_request_body(
    plan: Plan, task: Task, results: TestResults | None, *, draft: bool, notes: list[str], review: Json | None = None
) -> str:
    """Markdown: summary, what was asked, steps, tests, the review, risks."""
    parts = []
    if draft:
        parts.append(f"> **Draft.** {_draft_reason(results)}")
    parts.append(_inline(plan.summary) or _inline(task.title))
    parts.append("## What was asked\n\n" + _fenced(task.prompt))
    steps = [f"{n}. {_step(title, files)}" for n, (title, files) in enumerate(((s.title, s.files) for s in plan.steps[:_LIST_LIMIT]), 1)]
    if steps:
        parts.append("## What was done\n\n" + "\n".join(steps))
    if plan.acceptance_criteria:
        parts.append("## Acceptance criteria\n\n" + _bullets(plan.acceptance_criteria))
    parts.append("## Tests\n\n" + _evidence(results))
    if review:
        parts.append("## Review\n\n" + _reviewed(review))
    if plan.risks:
        parts.append("## Risks\n\n" + _bullets(plan.risks))
    if notes:
        parts.append("## Notes\n\n" + _bullets(notes))
    parts.append(f"Task {_code(task.id)}, opened by Persevere.")
    return "\n\n".join(part for part in parts if part) + "\n"


def _draft_reason(results: TestResults | None) -> str:
    if results is None or results.verdict == "none":
        return "There is no test run to rely on: review the change with care."
    if results.newly_failing:
        return f"{len(results.newly_failing)} tests that passed before fail with this change."
    if results.verdict in ("error", "timeout"):
        return "The tests did not come to an end: review the change with care."
    return "The tests fail." if results.verdict == "failed" else "Opened as a draft on request."


def _evidence(results: TestResults | None) -> str:
    if results is None:
        return "No tests were run."
    rows = [
        "| verdict | passed | failed | skipped | time |",
        "|---|---|---|---|---|",
        f"| {_VERDICTS[results.verdict]} | {results.passed} | {results.failed} | {results.skipped} | {results.duration_s:.1f} s |",
    ]
    parts = ["\n".join(rows)]
    if results.reason:
        parts.append(_inline(results.reason))
    if results.commands:
        parts.append("Commands:\n\n" + "\n".join(f"- {_code(c)}" for c in results.commands[:_LIST_LIMIT]))
    for label, names in (("Newly failing", results.newly_failing), ("Failing before the change too", results.failing_before)):
        if names:
            more = [f"- and {len(names) - _LIST_LIMIT} more"] if len(names) > _LIST_LIMIT else []
            parts.append(f"{label}:\n\n" + "\n".join([*(f"- {_code(n)}" for n in names[:_LIST_LIMIT]), *more]))
    return "\n\n".join(parts)


def _reviewed(review: Json) -> str:
    """What a reviewing model said. It decided nothing."""
    comments = [
        f"- **{_inline(comment['severity'])}** {_code(comment['file'] + ':' + str(comment['line']))} {_inline(comment['comment'])}"
        for comment in review["comments"][:_LIST_LIMIT]
    ]
    if (left := len(review["comments"]) - len(comments)) > 0:
        comments.append(f"- and {left} more")
    by = f"By {_code(review['by'])}, a model; a person decided."
    return "\n\n".join(part for part in (_inline(review["summary"]), "\n".join(comments), by) if part)


def _step(title: str, files: list[str]) -> str:
    shown = ", ".join(_code(name) for name in files[:10]) + (" …" if len(files) > 10 else "")
    return f"{_inline(title)}{f' ({shown})' if files else ''}"


def _bullets(lines: list[str]) -> str:
    return "\n".join(f"- {_inline(line)}" for line in lines[:_LIST_LIMIT])


def _visible(text: str) -> str:
    """Without control characters and those that turn the reading direction; line breaks and tabs stay."""
    return "".join(c for c in text if c in "\n\t" or unicodedata.category(c) not in ("Cc", "Cf", "Cs", "Co"))


def _one_line(text: str) -> str:
    return " ".join(_visible(text).split())


def _inline(text: str) -> str:
    """Text in a paragraph: no markup, no HTML, no mention, no issue reference, no link of its own."""
    escaped = re.sub(r"([\\`*_{}\[\]<>|~&!$])", r"\\\1", _one_line(text)[:2000])
    escaped = re.sub(r"^([-+=#>]|\d+[.)])", lambda m: m[0][:-1] + "\\" + m[0][-1], escaped)
    return re.sub(r"(@|#|://|www|GH-)", lambda m: m[0][:1] + _BREAK + m[0][1:], escaped, flags=re.IGNORECASE)


def _code(text: str) -> str:
    line = _one_line(text)[:500] or " "
    fence = "`" * (max((len(run) for run in re.findall(r"`+", line)), default=0) + 1)
    pad = " " if line.startswith("`") or line.endswith("`") else ""
    return f"{fence}{pad}{line}{pad}{fence}"


def _fenced(text: str) -> str:
    shown = _visible(text).strip()
    shown = shown if len(shown) <= _ASKED_LIMIT else shown[:_ASKED_LIMIT] + "\n…"
    fence = "`" * max(3, max((len(run) for run in re.findall(r"`+", shown)), default=0) + 1)
    return f"{fence}text\n{shown}\n{fence}"
