"""A budget that is used up asks a person: the run ends with an approval, and an approved one lets it go on where it was."""

from __future__ import annotations

from datetime import timedelta
from typing import Literal

from agent_orchestrator.runtime.lease import Lease
from agent_orchestrator.supervisor.gates import approval_id_for
from shared import metrics
from shared.events import store as events_store
from shared.models.port import BudgetReached
from shared.store import approvals, audit, tasks
from shared.store.records import Approval
from shared.types import ApprovalStatus, Gate, Json, Risk, RiskLevel, Stage, TaskStatus, canonical_json, sha256_hex, utcnow

_STATUS = {Stage.CODING: TaskStatus.CODING, Stage.TESTING: TaskStatus.TESTING, Stage.PR_CREATION: TaskStatus.CREATING_PR}
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
        if last.status is not ApprovalStatus.APPROVED:
            return "stop"
        status = _STATUS.get(task.stage, TaskStatus.PLANNING)
        await tasks.update(tx, task.id, status=status)
        await events_store.append(tx, task.id, task.stage, [("status_update", {"new_status": status.value, "details": "going on"})])
    return "go"
