"""At 100,000 tasks every list is read from an index: nothing is looked through, nothing large is sorted."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.store.database import Database

BENCH = Path(__file__).resolve().parents[3] / "support" / "bench"
LARGE = {"tasks", "sessions", "messages", "approvals", "pull_requests", "events", "audit_log", "artifacts", "runs"}
MOST = 1000
"""Rows a list may touch to show 50."""


def nodes(plan: Any) -> Iterator[Any]:
    yield plan
    for part in plan.get("Plans", ()):
        yield from nodes(part)


def faults(plan: Any) -> list[str]:
    found = []
    for node in nodes(plan):
        touched = (node["Actual Rows"] + node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)) * node[
            "Actual Loops"
        ]
        if node["Node Type"] == "Seq Scan" and node.get("Relation Name") in LARGE:
            found.append(f"looks through {node['Relation Name']}")
        elif touched > MOST:
            found.append(f"{node['Node Type']} touches {touched:.0f} rows")
    return found


async def explained(tx: AsyncConnection, query: Any) -> list[tuple[str, Any]]:
    """The plan of each statement that `query` runs, as it ran."""
    ran: list[tuple[str, Any]] = []

    def note(_connection: Any, _cursor: Any, statement: str, parameters: Any, _context: Any, _many: bool) -> None:
        ran.append((statement, parameters))

    connection = tx.sync_connection
    assert connection is not None
    event.listen(connection, "before_cursor_execute", note)
    await query(tx)
    event.remove(connection, "before_cursor_execute", note)
    plans = []
    for statement, parameters in ran:
        result = await tx.exec_driver_sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {statement}", parameters)
        plan = result.scalar_one()
        plans.append((statement, (json.loads(plan) if isinstance(plan, str) else plan)[0]["Plan"]))
    return plans


@pytest.mark.slow
async def test_every_list_is_read_from_an_index(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(BENCH), *sys.path])
    from list_queries import list_queries
    from many_rows import fill

    fill(database.conninfo)
    async with database.connection() as tx:
        for name, query in list_queries().items():
            for statement, plan in await explained(tx, query):
                assert not faults(plan), f"{name}: {faults(plan)}\n{statement}\n{json.dumps(plan, indent=1)[:4000]}"
