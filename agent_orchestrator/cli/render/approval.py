"""An approval as a person reads it: a plan in numbered steps, or a diff in colour with the test evidence beside it."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, Group, RenderableType
from rich.panel import Panel
from rich.text import Text

from agent_orchestrator.cli.render.text import clean, seconds, shorten
from shared.types import Json

RISK_STYLE = {"low": "green", "medium": "yellow", "high": "red", "critical": "bold red"}
VERDICT_STYLE = {"passed": "green", "failed": "red", "none": "yellow", "error": "red", "timeout": "red"}
SHOWN_LINES = 400


def approval_panel(approval: Json) -> RenderableType:
    """Everything needed to decide: subject, evidence, risk and its reasons."""
    subject = approval.get("subject") or {}
    body: list[RenderableType] = [Text(clean(approval.get("title", "")), style="bold"), Text()]
    body.extend(diff_lines(subject) if "diff_text" in subject else plan_lines(subject))
    if subject.get("test_results"):
        body.extend([Text(), *evidence_lines(subject["test_results"])])
    body.extend(Text(f"note: {clean(note)}", style="dim") for note in subject.get("notes") or [])
    body.extend([Text(), risk_line(approval.get("risk") or {})])
    if approval.get("approvers"):
        body.append(Text("approvers: " + clean(", ".join(map(str, approval["approvers"]))), style="dim"))
    gate = shorten(approval.get("gate", ""), 20)
    return Panel(Group(*body), title=f"approval of the {gate}", title_align="left", border_style="cyan", expand=True)


def plan_lines(plan: Json) -> Iterator[Text]:
    yield Text(clean(plan.get("summary", "")))
    for number, step in enumerate(plan.get("steps") or [], 1):
        line = Text(f"{number:>3}. ", style="cyan").append(clean(step.get("title", ""), lines=False), style="default")
        yield line
        if step.get("detail"):
            yield Text("     " + clean(step["detail"], lines=False), style="dim")
        files = [clean(path, lines=False) for path in step.get("files") or []]
        yield from (Text(f"     {path}", style="magenta") for path in files[:20])
        if len(files) > 20:
            yield Text(f"     and {len(files) - 20} more files", style="dim")
    for title, key in (
        ("accepted when", "acceptance_criteria"),
        ("tests", "tests"),
        ("risks", "risks"),
        ("open questions", "open_questions"),
    ):
        if plan.get(key):
            yield Text(f"{title}: ", style="dim").append(clean("; ".join(map(str, plan[key])), lines=False), style="default")


def diff_lines(subject: Json) -> Iterator[Text]:
    stats = subject.get("stats") or {}
    if stats:
        yield stats_line(stats)
        yield Text()
    lines = str(subject.get("diff_text", "")).split("\n")
    shown = lines[:SHOWN_LINES]
    yield from colour_diff(shown)
    left = len(lines) - len(shown)
    if left > 0 or subject.get("truncated"):
        yield Text(f"… {left} more lines; `persevere tasks diff` prints all of them", style="yellow")


def colour_diff(lines: list[str]) -> Iterator[Text]:
    for line in lines:
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
        line.append(f"  ({', '.join(counts)}, {seconds(float(results.get('duration_s') or 0))})")
    yield line
    if results.get("reason"):
        yield Text("  " + clean(results["reason"]))
    yield from (Text("  $ " + shorten(command, 160), style="dim") for command in results.get("commands") or [])
    yield from _named("newly failing", results.get("newly_failing") or [], "red")
    yield from _named("failing before the change too", results.get("failing_before") or [], "yellow")


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
