"""Every list a person, a client or the service itself asks for, as a function of a connection."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

from many_rows import MANY_EVENTS
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.events import store as events_store
from shared.store import approvals, artifacts_rows, audit, projects, pull_requests, runs, sessions, tasks
from shared.types import utcnow

Query = Callable[[AsyncConnection], Awaitable[Any]]


def list_queries() -> dict[str, Query]:
    """By name. Rare things are old: what is found at once in a small table is far from the newest in a large one."""
    some = MANY_EVENTS
    return {
        "tasks": lambda tx: tasks.list_(tx, user_id="local"),
        "tasks of nobody in particular": lambda tx: tasks.list_(tx),
        "tasks of a quiet person": lambda tx: tasks.list_(tx, user_id="bob"),
        "tasks by project": lambda tx: tasks.list_(tx, user_id="local", project_id="project_3"),
        "tasks by session": lambda tx: tasks.list_(tx, user_id="local", session_id="session_77"),
        "tasks by status": lambda tx: tasks.list_(tx, user_id="local", status="completed"),
        "tasks by a rare status": lambda tx: tasks.list_(tx, user_id="local", status="waiting"),
        "tasks by several statuses": lambda tx: tasks.list_(tx, user_id="local", status=["waiting", "plan_review", "failed"]),
        "tasks by project and rare status": lambda tx: tasks.list_(tx, user_id="local", project_id="project_3", status="waiting"),
        "tasks, a late page": late_page(lambda tx, cursor: tasks.list_(tx, user_id="local", cursor=cursor)),
        "tasks by the beginning of an id": lambda tx: tasks.find(tx, "task_00000005000", "local"),
        "tasks by the end of an id": lambda tx: tasks.find(tx, "54321", "local"),
        "sessions": lambda tx: sessions.list_(tx, "local"),
        "sessions by project": lambda tx: sessions.list_(tx, "local", project_id="project_3"),
        "sessions by a quiet project": lambda tx: sessions.list_(tx, "local", project_id="project_19"),
        "messages of a long session": lambda tx: sessions.messages(tx, "session_7"),
        "approvals": lambda tx: approvals.list_(tx, user_id="local"),
        "approvals of a quiet person": lambda tx: approvals.list_(tx, user_id="bob"),
        "approvals, the decided ones": lambda tx: approvals.list_(tx, user_id="local", status="approved"),
        "approvals, the pending ones": lambda tx: approvals.list_(tx, user_id="local", status="pending"),
        "approvals, pending of all": lambda tx: approvals.list_(tx, status="pending"),
        "approvals, a late page": late_page(lambda tx, cursor: approvals.list_(tx, user_id="local", cursor=cursor)),
        "approvals of a task": lambda tx: approvals.for_task(tx, some),
        "approvals that expired": lambda tx: approvals.expired(tx),
        "pulls": lambda tx: pull_requests.list_(tx),
        "pulls by repository": lambda tx: pull_requests.list_(tx, "/repo/3"),
        "pulls of a person": lambda tx: pull_requests.list_(tx, user_id="local"),
        "pulls of a quiet person": lambda tx: pull_requests.list_(tx, user_id="bob"),
        "pulls of a person by repository": lambda tx: pull_requests.list_(tx, "/repo/3", user_id="local"),
        "pull of a task": lambda tx: pull_requests.by_task(tx, some),
        "projects": lambda tx: projects.list_(tx, "local"),
        "events": lambda tx: events_store.read(tx, some, after=900),
        "audit of a task": lambda tx: audit.for_task(tx, some),
        "artifacts of a task": lambda tx: artifacts_rows.list_(tx, some),
        "tasks to prune": lambda tx: tasks.prunable(tx, utcnow() - timedelta(days=7), utcnow() - timedelta(days=70), 100),
        "runs of a person that go on": lambda tx: runs.running_of(tx, "local"),
        "users whose runs wait": runs.users_waiting,
        "runs without a job": runs.without_job,
    }


def late_page(one: Callable[[AsyncConnection, str | None], Awaitable[tuple[list[Any], str | None]]]) -> Query:
    """The fourth page."""

    async def query(tx: AsyncConnection) -> Any:
        cursor: str | None = None
        for _ in range(4):
            found, cursor = await one(tx, cursor)
        return found

    return query
