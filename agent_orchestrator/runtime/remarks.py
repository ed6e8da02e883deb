"""What people tell a running task, read anew at each step of its agent."""

from __future__ import annotations

from dataclasses import dataclass

from shared.store import tasks
from shared.store.database import Database


@dataclass(frozen=True)
class TaskRemarks:
    """Implements `agents.context.Remarks`."""

    database: Database
    task_id: str

    async def all(self) -> list[str]:
        async with self.database.connection() as connection:
            return [str(remark["text"]) for remark in await tasks.remarks(connection, self.task_id)]
