"""An approval as a person reads it: a plan in numbered steps, or a diff in colour with the test evidence beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from agent_orchestrator.cli.render.text import clean, seconds, shorten
from shared.types import Json

RISK_STYLE = {"low": "green", "medium": "yellow", "high": "red", "critical": "bold red"}
VERDICT_STYLE = {"passed": "green", "failed": "red", "none": "yellow", "error": "red", "timeout": "red"}
SEVERITY_STYLE = {"blocker": "red", "warning": "yellow", "note": "cyan"}
VERDICTS = {"looks_good": ("looks good", "green"), "needs_changes": ("needs changes", "yellow"), "none": ("was not made", "yellow")}
SHOWN_LINES = 400
SHOWN_COMMENTS = 30
_INDEX = re.compile(r"^index ([0-9a-f]{7})[0-9a-f]*\.\.([0-9a-f]{7})[0-9a-f]*")


def approval_panel(approval: Json) -> RenderableType:
    """Everything needed to decide: subject, evidence, risk and its reasons."""
    subject = approval.get("subject") or {}
    summary = str(subject.get("summary") or "")
    question = str(approval.get("title", "")).removesuffix(summary).rstrip()
    body: list[RenderableType] = [Text(clean(question), style="bold")] if question else []
    body.extend(diff_lines(subject) if "diff_text" in subject else plan_lines(subject))
    if subject.get("test_results"):
        body.extend([Text(), *evidence_lines(subject["test_results"])])
    if subject.get("review"):
        body.extend([Text(), *review_lines(subject["review"])])
    body.extend(secret_lines(subject.get("secrets") or []))
    body.extend(Text(f"note: {clean(note)}", style="dim") for note in subject.get("notes") or [])
    body.extend([Text(), risk_line(approval.get("risk") or {})])
    if approval.get("approvers"):
        body.append(Text("approvers: " + clean(", ".join(map(str, approval["approvers"]))), style="dim"))
    gate = shorten(approval.get("gate", ""), 20)
    return Panel(Group(*body), title=f"approval of the {gate}", title_align="left", border_style="cyan", expand=True)


def plan_lines(plan: Json) -> Iterator[RenderableType]:
    """The summary, the steps with their files, and what else is known; a step that only repeats the summary is told by its detail."""
    summary = clean(plan.get("summary", ""))
    if summary:
        yield Text(summary)
    yield Text()
    for number, step in enumerate(plan.get("steps") or [], 1):
        title, detail = (clean(step.get(key) or "", lines=False) for key in ("title", "detail"))
        if detail and summary.startswith(title.rstrip(".")):
            title, detail = detail, ""
        yield _item(f"{number:>3}. ", title, "cyan")
        if detail:
            yield _item("     ", detail, "default", text_style="dim")
        files = [clean(path, lines=False) for path in step.get("files") or []]
        yield from (Text(f"     {path}", style="magenta") for path in files[:20])
        if len(files) > 20:
            yield Text(f"     and {len(files) - 20} more files", style="dim")
    yield Text()
    for title, key in (
        ("accepted when", "acceptance_criteria"),
        ("tests", "tests"),
        ("risks", "risks"),
        ("open questions", "open_questions"),
    ):
        yield from _listed(title, [clean(text, lines=False) for text in plan.get(key) or []])


def _listed(title: str, texts: list[str]) -> Iterator[RenderableType]:
    """One text beside its title, several below it."""
    if len(texts) == 1:
        yield Text(f"{title}: ", style="dim").append(texts[0], style="default")
    elif texts:
        yield Text(f"{title}:", style="dim")
        yield from (_item("  - ", text, "dim") for text in texts)


def _item(mark: str, text: str, style: str, *, text_style: str = "default") -> RenderableType:
    """Long text goes on below its own beginning, not below the mark."""
    row = Table.grid()
    row.add_column(no_wrap=True)
    row.add_column(overflow="fold")
    row.add_row(Text(mark, style=style), Text(text, style=text_style))
    return row


def diff_lines(subject: Json) -> Iterator[Text]:
    stats = subject.get("stats") or {}
    if stats:
        yield stats_line(stats)
    yield Text()
    lines = str(subject.get("diff_text", "")).removesuffix("\n").split("\n")
    shown = lines[:SHOWN_LINES]
    yield from colour_diff(shown)
    left = len(lines) - len(shown)
    if left > 0 or subject.get("truncated"):
        yield Text(f"… {left} more lines; `persevere tasks diff` prints all of them", style="yellow")


def colour_diff(lines: list[str]) -> Iterator[Text]:
    """Each line in its colour; blob ids as short as git shows them."""
    for full in lines:
        line = _INDEX.sub(r"index \1..\2", full)
        ending = "␍" if line.endswith("\r") else ""
        yield Text(clean(line.removesuffix("\r"), lines=False) + ending, style=_diff_style(line))


def _diff_style(line: str) -> str:
    if line.startswith(
        ("diff --git", "index ", "--- ", "+++ ", "new file", "deleted file", "similarity", "rename ", "old mode", "new mode")
    ):
        return "bold"
    return {"+": "green", "-": "red", "@": "cyan"}.get(line[:1], "default")


def stats_line(stats: Json) -> Text:
    files, plus, minus = (int(stats.get(key) or 0) for key in ("files", "insertions", "deletions"))
    line = Text(f"{files} file{'s' * (files != 1)} changed, ")
    return line.append(f"+{plus}", style="green").append(" ").append(f"-{minus}", style="red")


def evidence_lines(results: Json) -> Iterator[Text]:
    """The verdict with its counts, then what is newly red and what was red before."""
    verdict = str(results.get("verdict", "none"))
    words = {"none": "no tests", "error": "the tests could not be run", "timeout": "the tests took too long"}.get(verdict, verdict)
    line = Text("tests: ").append(words, style=f"bold {VERDICT_STYLE.get(verdict, 'yellow')}")
    counts = [f"{results[key]} {key}" for key in ("passed", "failed", "skipped") if results.get(key)]
    if counts:
        line.append(f" ({', '.join(counts)}, {seconds(float(results.get('duration_s') or 0))})")
    yield line
    if results.get("reason"):
        yield Text("  " + clean(results["reason"]))
    yield from (Text("  $ " + shorten(command, 160), style="dim") for command in results.get("commands") or [])
    yield from _named("newly failing", results.get("newly_failing") or [], "red")
    yield from _named("failing before the change too", results.get("failing_before") or [], "yellow")


def review_lines(review: Json) -> Iterator[RenderableType]:
    """The verdict with its counts, the summary, then each comment beside its place."""
    comments = review.get("comments") or []
    yield review_line(review)
    if review.get("summary"):
        yield Text("  " + clean(review["summary"], lines=False))
    for comment in comments[:SHOWN_COMMENTS]:
        severity = str(comment.get("severity", "note"))
        place = f"{shorten(comment.get('file', ''), 120)}:{comment.get('line', '')}"
        yield _item("  - ", f"{severity} {place}: {clean(comment.get('comment', ''), lines=False)}", SEVERITY_STYLE.get(severity, "yellow"))
    if len(comments) > SHOWN_COMMENTS:
        yield Text(f"    and {len(comments) - SHOWN_COMMENTS} more; the artifact review.md has all")


def review_line(review: Json) -> Text:
    """`review: needs changes (1 blocker, 2 notes), by MODEL`."""
    found = [str(comment.get("severity")) for comment in review.get("comments") or []]
    counts = [f"{found.count(name)} {name}{'s' * (found.count(name) != 1)}" for name in SEVERITY_STYLE if name in found]
    verdict = str(review.get("verdict", "none"))
    words, style = VERDICTS.get(verdict, (verdict, "yellow"))
    line = Text("review: ").append(words, style=f"bold {style}")
    return line.append(f" ({', '.join(counts) or 'no comments'}), by {shorten(review.get('by', ''), 60)}")


def secret_lines(secrets: list[Json]) -> Iterator[Text]:
    """Where something looks like a secret, never what it is."""
    for secret in secrets:
        where = clean(secret.get("path", ""), lines=False) + (f":{secret['line']}" if secret.get("line") else "")
        marked = " (marked as none by the change)" if secret.get("marked") and secret.get("line") else ""
        line = Text("looks like a secret: ", style="bold red").append(where, style="magenta")
        yield line.append(f" {clean(secret.get('kind', ''), lines=False)}{marked}", style="default")


def _named(title: str, names: list[str], style: str) -> Iterator[Text]:
    if names:
        yield Text(f"  {title} ({len(names)}):", style=style)
        yield from (Text("    " + shorten(name, 160), style=style) for name in names[:10])
        if len(names) > 10:
            yield Text(f"    and {len(names) - 10} more", style=style)


def risk_line(risk: Json) -> Text:
    level = str(risk.get("level", "low"))
    line = Text("risk: ").append(level, style=RISK_STYLE.get(level, "red"))
    reasons = "; ".join(map(str, risk.get("reasons") or []))
    return line.append(f" ({clean(reasons, lines=False)})" if reasons else "")


def print_diff(console: Console, text: str) -> None:
    """A whole patch in colour, never shortened."""
    for line in colour_diff(text.rstrip("\n").split("\n")):
        console.print(line, soft_wrap=True)
