"""How a task ended, where to look and what to do next."""

from __future__ import annotations

import shlex

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.text import Text

from agent_orchestrator.cli.render.approval import evidence_lines
from agent_orchestrator.cli.render.cost import cost_words
from agent_orchestrator.cli.render.text import clean
from shared.types import Json

STATUS_STYLE = {"completed": "green", "failed": "red", "cancelled": "yellow"}


def report_panel(task: Json, ending: Json | None = None) -> RenderableType:
    """`task` as the service tells it; `ending` is the data of `task_completed` where it was seen."""
    ending = ending or {}
    status = str(task.get("status", ""))
    body: list[Text] = [Text(clean(task.get("title") or task.get("prompt") or "", lines=False), style="bold")]
    outcome = str(task.get("outcome") or "")
    line = Text("status: ").append(status, style=f"bold {STATUS_STYLE.get(status, 'cyan')}")
    body.append(line.append(f" ({clean(outcome.replace('_', ' '), lines=False)})" if outcome else ""))
    if cost := cost_words(task.get("cost")):
        body.append(Text(f"cost: {cost}"))
    body.extend(_links(task, ending))
    if task.get("test_results"):
        body.extend(evidence_lines(task["test_results"]))
    body.extend(Text(f"note: {clean(note)}") for note in ending.get("notes") or [])
    if ending.get("answer"):
        body.extend([Text(), Text(clean(ending["answer"]))])
    error = task.get("error") or {}
    if error:
        body.append(Text(clean(error.get("message", "")), style="red"))
        if error.get("next_step"):
            body.append(Text("next: " + clean(error["next_step"])))
    return Panel(Group(*body), title=f"task {clean(task.get('task_id', ''), lines=False)}", title_align="left", border_style="cyan")


def _links(task: Json, ending: Json) -> list[Text]:
    branch = ending.get("branch") or task.get("branch")
    lines: list[Text] = []
    if branch and task.get("outcome") == "taken_over":
        lines.append(Text("branch: ").append(clean(branch, lines=False), style="magenta").append(" (yours to go on with)"))
    if branch and task.get("pr_url"):
        lines.append(Text("branch: ").append(clean(branch, lines=False), style="magenta"))
        draft = " (a draft: the tests do not prove it)" if ending.get("draft") or task.get("outcome") == "draft_pull_request" else ""
        lines.append(Text("pull request: ").append(clean(task["pr_url"], lines=False), style="magenta").append(draft))
    return lines


def look_line(task: Json, ending: Json | None = None) -> Text | None:
    """The command that shows the change; None when there is no branch."""
    branch = (ending or {}).get("branch") or task.get("branch")
    if branch and (task.get("pr_url") or task.get("outcome") == "taken_over"):
        base = task.get("base_branch") or str(task.get("base_commit") or "")[:12] or "HEAD"
        repo = str(task.get("repo", ""))
        where = f"-C {shlex.quote(clean(repo, lines=False))} " if repo.startswith("/") else ""
        return Text(f"git {where}diff {clean(base, lines=False)}..{clean(branch, lines=False)}", style="cyan")
    return None


def waiting_lines(approval: Json) -> list[Text]:
    """How to decide an approval from elsewhere."""
    approval_id = clean(approval.get("approval_id") or approval.get("id") or "", lines=False)
    return [
        Text(f"The task waits for the approval of the {clean(approval.get('gate', ''), lines=False)}.", style="yellow"),
        Text(f"  look:    persevere approvals show {approval_id}"),
        Text(f"  approve: persevere approvals approve {approval_id}"),
        Text(f"  reject:  persevere approvals reject {approval_id}"),
        *_more_ways(str(approval.get("gate") or ""), approval_id),
        Text(f"  go on:   persevere resume {clean(approval.get('task_id', ''), lines=False)}"),
    ]


def _more_ways(gate: str, approval_id: str) -> list[Text]:
    different = Text(f'  differ:  persevere approvals respond {approval_id} --comment "what should be different"')
    over = Text(f"  take it: persevere approvals take-over {approval_id}   (the branch, without a pull request)")
    return {"plan": [different], "diff": [different, over]}.get(gate, [])
