"""Writes approvals: what is asked, how risky it is, and the hash that binds the answer to it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

from agent_orchestrator.runtime.lease import Lease
from shared import metrics
from shared.approvals.policy import ApprovalPolicy
from shared.events import store as events_store
from shared.store import approvals, audit, marks, tasks
from shared.store.records import Approval
from shared.types import ApprovalStatus, Gate, Json, Risk, Stage, TaskStatus, utcnow


@dataclass(frozen=True)
class GateKeeper:
    lease: Lease
    policy: ApprovalPolicy
    ttl_s: int
    on_ask: Callable[[], None] = lambda: None

    async def pass_or_ask(
        self,
        gate: Gate,
        *,
        revision: int,
        title: str,
        subject: Json,
        content_sha256: str,
        risk: Risk,
        approvers: list[str],
        status: TaskStatus,
        always: bool = False,
    ) -> Json | None:
        """The open gate for the state, or None when the policy asks nobody. Doing it again finds what the first time wrote."""
        decision, rule = ("ask", "always asked") if always else self.policy.decide(gate, risk.level)
        task_id = self.lease.task_id
        approval_id = approval_id_for(self.lease.thread_id, gate, revision)
        async with self.lease.transaction() as tx:
            if decision == "skip":
                if await marks.first_time(tx, task_id, approval_id):
                    await audit.append(
                        tx,
                        actor="policy",
                        action="gate.skipped",
                        task_id=task_id,
                        subject=gate.value,
                        data={"rule": rule, "content_sha256": content_sha256},
                    )
                return None
            approval = await approvals.get(tx, approval_id)
            if approval is None:
                await approvals.close_pending(tx, task_id, ApprovalStatus.SUPERSEDED)
                approval = self._approval(approval_id, gate, revision, title, subject, content_sha256, risk, approvers)
                await approvals.insert(tx, approval)
                await audit.append(
                    tx,
                    actor="supervisor",
                    action="approval.asked",
                    task_id=task_id,
                    subject=approval_id,
                    data={"gate": gate.value, "revision": revision, "content_sha256": content_sha256, "rule": rule},
                )
                task = await tasks.update(tx, task_id, stage=Stage.REVIEW, status=status, waiting_for=f"approval of the {gate.value}")
                await events_store.append(
                    tx,
                    task_id,
                    Stage.REVIEW,
                    [
                        ("status_update", {"new_status": status.value, "details": title}),
                        ("approval_required", {"approval": approval.model_dump(mode="json")}),
                    ],
                )
                metrics.task_reached(task.workflow, status)
        self.on_ask()
        return {"approval_id": approval.id, "gate": gate.value, "content_sha256": content_sha256}

    async def edited(self, approval_id: str) -> Json:
        """What a person put in place of what was asked about: {plan} or {patch}."""
        async with self.lease.database.connection() as connection:
            approval = await approvals.get(connection, approval_id)
        decision: Json = (approval.decision if approval is not None else None) or {}
        edited: Json = decision["edited"]
        return edited

    def _approval(
        self, approval_id: str, gate: Gate, revision: int, title: str, subject: Json, content_sha256: str, risk: Risk, approvers: list[str]
    ) -> Approval:
        return Approval(
            id=approval_id,
            task_id=self.lease.task_id,
            gate=gate,
            revision=revision,
            title=title,
            subject=subject,
            risk=risk,
            content_sha256=content_sha256,
            approvers=approvers,
            expires_at=utcnow() + timedelta(seconds=self.ttl_s),
        )


def approval_id_for(thread_id: str, gate: Gate, revision: int) -> str:
    """The same question has the same id, so that a crash between asking and checkpointing asks once."""
    return "appr_" + hashlib.sha256(f"{thread_id}/{gate.value}/{revision}".encode()).hexdigest()[:16]
