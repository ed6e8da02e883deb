"""How a run ends a task that did not reach its report: failed or cancelled, each with its last event."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import psycopg_pool
import sqlalchemy.exc
from sqlalchemy.ext.asyncio import AsyncConnection

from agent_orchestrator.runtime.lease import Lease
from shared import metrics
from shared.errors import PersevereError, SandboxError, SandboxGoneError, SandboxUnreachableError, TaskFailedError, UnavailableError
from shared.events import store as events_store
from shared.store import approvals, audit, runs, steps, tasks
from shared.types import ApprovalStatus, ErrorInfo, Json, Stage, TaskStatus, utcnow

if TYPE_CHECKING:
    from shared.jobs.queue import JobQueue

OUTAGES = (
    psycopg.OperationalError,
    psycopg.InterfaceError,
    psycopg_pool.PoolTimeout,
    sqlalchemy.exc.OperationalError,
    sqlalchemy.exc.InterfaceError,
    UnavailableError,
    SandboxGoneError,
    SandboxUnreachableError,
)
"""What is nobody's fault and passes: the run is tried again, from its last checkpoint."""


def error_of(exc: Exception) -> PersevereError | None:
    """The error a person is told, or None for an outage, after which the run is simply tried again."""
    if isinstance(exc, OUTAGES):
        return None
    if isinstance(exc, PersevereError):
        return exc
    return TaskFailedError(
        f"Persevere met an unexpected error ({type(exc).__name__}).",
        "Retry the task; if it happens again, look at the log.",
        code="internal_error",
    )


async def tell_interruption(lease: Lease, exc: Exception) -> None:
    """People who watch hear of a sandbox that went away; of a database that is away nobody can be told."""
    if isinstance(exc, SandboxError):
        async with lease.transaction() as tx:
            task = await tasks.get(tx, lease.task_id)
            stage = task.stage if task is not None else Stage.QUEUE
            said = f"{exc.message} The work goes on from its last step in a new one."
            await events_store.append(tx, lease.task_id, stage, [("log", {"level": "warning", "message": said})])


async def fail(lease: Lease, error: PersevereError) -> None:
    """The task failed where it stood; a retry goes on from there."""
    info = ErrorInfo(code=error.code, message=error.message, next_step=error.next_step)
    async with lease.transaction() as tx:
        await _end(tx, lease.task_id, TaskStatus.FAILED, None, info)
        await lease.let_go(tx, "idle", poison_count=0)


async def hand_over(lease: Lease, jobs: JobQueue) -> None:
    """Let go of a run that goes on elsewhere: its job is free in the same moment."""
    async with lease.transaction() as tx:
        await lease.let_go(tx, "idle", poison_count=0)
        await jobs.hand_over(tx, lease.task_id)


async def keep_waiting(lease: Lease) -> None:
    """Let go of a run that has nothing to do until a person decides, or never again."""
    async with lease.database.transaction() as tx:
        await lease.let_go(tx, "idle", poison_count=0)


async def cancel_now(lease: Lease, outcome: str, note: str = "") -> None:
    """`note` says why, where the outcome alone does not."""
    async with lease.transaction() as tx:
        await _end(tx, lease.task_id, TaskStatus.CANCELLED, outcome, None, note)
        await lease.let_go(tx, "ended", cancel_requested=False)


async def cancel_idle(tx: AsyncConnection, task_id: str, outcome: str) -> None:
    """Cancel a task that no worker holds, in the caller's transaction."""
    await _end(tx, task_id, TaskStatus.CANCELLED, outcome, None)
    await runs.update(tx, task_id, state="ended", cancel_requested=False)


async def expire_due(tx: AsyncConnection) -> int:
    """Fail the tasks whose question nobody answered in time. Nothing happens without an answer; a retry asks again."""
    due = await approvals.expired(tx)
    for approval in due:
        await runs.lock(tx, approval.task_id)
        closed = await approvals.decide(
            tx, approval.id, revision=approval.revision, to_status=ApprovalStatus.EXPIRED, decision={"decision": "expired"}
        )
        task = await tasks.get(tx, approval.task_id)
        if closed is None or task is None or task.status.is_final:
            continue
        error = ErrorInfo(
            code="approval_expired",
            message=f"Nobody answered in time: {approval.title}",
            next_step=f"`persevere tasks retry {task.id}` asks again.",
        )
        await _end(tx, task.id, TaskStatus.FAILED, None, error)
    return len(due)


async def _end(tx: AsyncConnection, task_id: str, status: TaskStatus, outcome: str | None, error: ErrorInfo | None, note: str = "") -> None:
    await approvals.close_pending(tx, task_id, ApprovalStatus.CANCELLED)
    if status is TaskStatus.CANCELLED:
        await steps.clear(tx, task_id)
    task = await tasks.get(tx, task_id)
    stage = task.stage if task is not None else Stage.REPORT
    await tasks.update(tx, task_id, status=status, outcome=outcome, error=error, waiting_for=None, finished_at=utcnow())
    shown: Json = error.model_dump() if error else {}
    completed: Json = {
        "final_status": status.value,
        "outcome": outcome,
        "pr_url": task.pr_url if task else None,
        "branch": task.branch if task else None,
        "error": shown or None,
        "notes": [note] if note else [],
    }
    details = error.message if error else (note or outcome or "")
    changes: list[tuple[str, Json]] = [("status_update", {"new_status": status.value, "details": details}), ("task_completed", completed)]
    await events_store.append(tx, task_id, stage, changes)
    await audit.append(
        tx, actor="runtime", action=f"task.{status.value}", task_id=task_id, subject=task_id, data={"outcome": outcome, "error": shown}
    )
    if task is not None:
        metrics.task_reached(task.workflow, status)
