"""A budget that is used up asks a person: the run ends with an approval, and an approved one lets it go on where it was.

A yes to more for a user or a project raises that budget for its day or month: every task that waits for the same goes on and looks again.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from sqlalchemy.ext.asyncio import AsyncConnection

from agent_orchestrator.runtime.lease import Lease
from agent_orchestrator.runtime.owners import grant_of
from agent_orchestrator.runtime.spend import grants
from agent_orchestrator.supervisor.gates import approval_id_for
from shared import metrics
from shared.errors import ConflictError
from shared.events import store as events_store
from shared.models.port import BudgetReached
from shared.store import approvals, audit, spending, tasks
from shared.store.records import Approval
from shared.types import ApprovalStatus, Gate, Json, Risk, RiskLevel, Stage, TaskStatus, canonical_json, sha256_hex, utcnow

if TYPE_CHECKING:
    from shared.jobs.queue import JobQueue

_STATUS = {Stage.CODING: TaskStatus.CODING, Stage.TESTING: TaskStatus.TESTING, Stage.PR_CREATION: TaskStatus.CREATING_PR}
NO_MORE = (
    "Its budget was used up and a person did not want more spent. "
    "A retry begins anew and needs a larger budget: what was used stays counted."
)
_RISK = Risk(level=RiskLevel.HIGH, score=0.7, reasons=["it costs more than was allowed"])
"""High, so that nothing approves it that answers ordinary gates by itself."""


async def ask_for_more(lease: Lease, error: BudgetReached, ttl_s: int) -> None:
    """Ask, and let go of the run, in one transaction."""
    subject: Json = {key: value for key, value in error.details.items() if key != "question"}
    title = f"{error.details['question']} {error.message}"
    async with lease.transaction() as tx:
        asked = [one for one in await approvals.for_task(tx, lease.task_id) if one.gate is Gate.BUDGET]
        revision = len(asked) + 1
        approval = Approval(
            id=approval_id_for(lease.thread_id, Gate.BUDGET, revision),
            task_id=lease.task_id,
            gate=Gate.BUDGET,
            revision=revision,
            title=title,
            subject=subject,
            risk=_RISK,
            content_sha256=sha256_hex(canonical_json(subject)),
            expires_at=utcnow() + timedelta(seconds=ttl_s),
        )
        await approvals.close_pending(tx, lease.task_id, ApprovalStatus.SUPERSEDED)
        await approvals.insert(tx, approval)
        data: Json = {"gate": Gate.BUDGET.value, "revision": revision, "content_sha256": approval.content_sha256}
        await audit.append(tx, actor="runtime", action="approval.asked", task_id=lease.task_id, subject=approval.id, data=data)
        task = await tasks.update(tx, lease.task_id, status=TaskStatus.WAITING, waiting_for="approval of the budget")
        happened: list[tuple[str, Json]] = [
            ("status_update", {"new_status": TaskStatus.WAITING.value, "details": title}),
            ("approval_required", {"approval": approval.model_dump(mode="json")}),
        ]
        await events_store.append(tx, lease.task_id, task.stage, happened)
        await lease.let_go(tx, "idle", poison_count=0)
    metrics.task_reached(task.workflow, TaskStatus.WAITING)


async def grant(tx: AsyncConnection, jobs: JobQueue, approval: Approval) -> None:
    """What a decision on a user's or a project's budget changes, in the transaction of the decision. A task reads its own grants itself.

    `ConflictError` when the question is not what was hashed when it was asked.
    """
    if approval.gate is not Gate.BUDGET or approval.status is not ApprovalStatus.APPROVED:
        return
    granted = grant_of(approval.subject)
    if granted is None:
        return
    if not grants(approval):
        raise ConflictError("The approval is for another content.", "Reject it and retry the task.", code="approval_mismatch")
    account, measure, more = granted
    await spending.grant(tx, account, measure, more)
    await look_again(tx, jobs, {"owner": account.owner, "owner_id": account.owner_id, "period": account.period, "kind": measure})


async def look_again(tx: AsyncConnection, jobs: JobQueue, subject: Json) -> None:
    """The budget of this subject was changed: tasks that ask about it go on, and ask again if it is still used up."""
    for task_id in await approvals.supersede_alike(tx, Gate.BUDGET, subject):
        await jobs.enqueue(tx, task_id)


async def answer_of(lease: Lease) -> Literal["wait", "stop", "go"]:
    """What the last question of a waiting task, if it was about its budget, lets the run do. Called before any work of the run."""
    async with lease.transaction() as tx:
        task = await tasks.get(tx, lease.task_id)
        if task is None or task.status is not TaskStatus.WAITING:
            return "go"
        asked = await approvals.for_task(tx, lease.task_id)
        last = max(asked, key=lambda one: one.created_at, default=None)
        if last is None or last.gate is not Gate.BUDGET or last.id != approval_id_for(lease.thread_id, Gate.BUDGET, last.revision):
            return "go"
        if last.status is ApprovalStatus.PENDING:
            return "wait"
        if last.status not in (ApprovalStatus.APPROVED, ApprovalStatus.SUPERSEDED):
            return "stop"
        status = _STATUS.get(task.stage, TaskStatus.PLANNING)
        await tasks.update(tx, task.id, status=status)
        await events_store.append(tx, task.id, task.stage, [("status_update", {"new_status": status.value, "details": "going on"})])
    return "go"
