"""Lists of tasks and approvals as tables."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from rich.table import Table
from rich.text import Text

from agent_orchestrator.cli.render.approval import RISK_STYLE
from agent_orchestrator.cli.render.cost import cost_words
from agent_orchestrator.cli.render.report import STATUS_STYLE
from agent_orchestrator.cli.render.text import clean, seconds, shorten
from shared.types import Json


def task_table(tasks: Sequence[Json]) -> Table:
    table = _table("task", "status", "stage", "age", "cost", "what")
    for task in tasks:
        status = str(task.get("status", ""))
        table.add_row(
            Text(clean(task["task_id"], lines=False)),
            Text(clean(status), style=STATUS_STYLE.get(status, "cyan")),
            Text(clean(task.get("stage", ""))),
            Text(age(str(task.get("created_at", "")))),
            Text(cost_words(task.get("cost"))),
            Text(shorten(task.get("title") or task.get("prompt", ""), 80)),
        )
    return table


def approval_table(approvals: Sequence[Json]) -> Table:
    table = _table("approval", "status", "gate", "risk", "age", "what")
    for approval in approvals:
        level = str((approval.get("risk") or {}).get("level", ""))
        table.add_row(
            Text(clean(approval["approval_id"], lines=False)),
            Text(clean(approval.get("status", ""))),
            Text(clean(approval.get("gate", ""))),
            Text(clean(level), style=RISK_STYLE.get(level, "default")),
            Text(age(str(approval.get("created_at", "")))),
            Text(shorten(approval.get("title", ""), 80)),
        )
    return table


def key_table(keys: Sequence[Json]) -> Table:
    table = _table("provider", "name", "ends with", "age")
    for key in keys:
        cells = (key["provider"], key.get("name") or "", key["last_four"])
        table.add_row(*(Text(clean(cell, lines=False)) for cell in cells), Text(age(str(key.get("created_at", "")))))
    return table


def age(created_at: str) -> str:
    """How long ago an ISO 8601 time was; empty when it is none."""
    try:
        then = datetime.fromisoformat(created_at)
    except ValueError:
        return ""
    elapsed = max(0.0, (datetime.now(UTC) - then).total_seconds())
    if elapsed < 3600:
        return seconds(elapsed)
    return f"{elapsed / 3600:.0f} h" if elapsed < 48 * 3600 else f"{elapsed / 86400:.0f} d"


def _table(*headers: str) -> Table:
    table = Table(box=None, pad_edge=False, header_style="dim")
    for index, header in enumerate(headers):
        table.add_column(header, no_wrap=index == 0, overflow="fold" if index == 0 else "ellipsis")
    return table
