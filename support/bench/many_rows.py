"""A database as it is after years: 100,000 tasks of three people, nearly all of them one's, nearly all completed long ago."""

from __future__ import annotations

from pathlib import Path

import psycopg

TASKS = 100_000
MANY_EVENTS = "task_000000050000"
"""A task with 1,000 events."""


def fill(conninfo: str, tasks: int = TASKS) -> None:
    """Fill an empty, migrated database in a few seconds."""
    script = Path(__file__).with_suffix(".sql").read_text().replace(":tasks", str(tasks)).replace(":many", f"'{MANY_EVENTS}'")
    with psycopg.connect(conninfo, autocommit=True) as connection:
        connection.execute(script.encode())
        connection.execute("ANALYZE")
