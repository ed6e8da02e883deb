"""Deciding: one compare-and-set, recorded with who decided what, and the run that goes on from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pydantic import ValidationError
from sqlalchemy.ext.asyncio import AsyncConnection

from agent_orchestrator.runtime.budgets import grant
from shared import metrics
from shared.errors import ConflictError, InvalidRequestError, NotFoundError
from shared.events import store as events_store
from shared.secrets.scan import HIDDEN, blocking, from_json, listed
from shared.store import approvals, audit, runs, tasks
from shared.store.joining import joined
from shared.store.records import Approval
from shared.types import ApprovalStatus, Gate, Json, Plan, Stage, utcnow

if TYPE_CHECKING:
    from agent_orchestrator.resources import Resources

Decision = Literal["approve", "reject", "edit", "respond", "take_over"]

_STATUS = {
    "approve": ApprovalStatus.APPROVED,
    "reject": ApprovalStatus.REJECTED,
    "edit": ApprovalStatus.SUPERSEDED,
    "respond": ApprovalStatus.REJECTED,
    "take_over": ApprovalStatus.APPROVED,
}


class ApprovalService:
    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    async def get(self, approval_id: str, user_id: str) -> Approval:
        async with self._resources.database.connection() as connection:
            return await _own(connection, approval_id, user_id)

    async def decide(
        self,
        approval_id: str,
        *,
        by: str,
        decision: Decision,
        revision: int,
        comment: str | None = None,
        edited: Json | None = None,
        within: AsyncConnection | None = None,
    ) -> Approval:
        """Decide once. `edited` is {plan} or {patch}. `ConflictError` carries the current state when it was decided before."""
        async with joined(self._resources.database, within) as tx:
            approval = await _own(tx, approval_id, by)
            edited = _checked(approval, decision, comment, edited)
            stored: Json = {"decision": decision, "comment": comment, "edited": edited, "by": by, "at": utcnow().isoformat()}
            vote = {key: stored[key] for key in ("decision", "comment", "by", "at")}
            await runs.lock(tx, approval.task_id)
            decided = await approvals.decide(tx, approval_id, revision=revision, to_status=_STATUS[decision], decision=stored, vote=vote)
            if decided is None:
                current = await approvals.get(tx, approval_id)
                raise _too_late(current or approval, revision)
            await grant(tx, self._resources.jobs, decided)
            task = await tasks.update(tx, approval.task_id, waiting_for=None)
            happened: Json = {
                "approval_id": approval_id,
                "decision": decision,
                "by": by,
                "comment": comment,
                "gate": approval.gate.value,
                "revision": revision,
            }
            await events_store.append(tx, task.id, Stage.REVIEW, [("approval_decided", happened)])
            await self._resources.jobs.enqueue(tx, task.id)
            await audit.append(
                tx,
                actor=by,
                action=f"approval.{decision}",
                task_id=task.id,
                subject=approval_id,
                data={"gate": approval.gate.value, "revision": revision, "content_sha256": approval.content_sha256, "comment": comment},
            )
        metrics.approval_decided(approval.gate, decision, (utcnow() - approval.created_at).total_seconds())
        return decided


async def _own(tx: AsyncConnection, approval_id: str, user_id: str) -> Approval:
    approval = await approvals.get(tx, approval_id)
    task = await tasks.get(tx, approval.task_id) if approval else None
    if approval is None or task is None or task.user_id != user_id:
        raise NotFoundError(
            f"There is no approval {approval_id}.", "`persevere approvals list` shows what waits for you.", code="approval_not_found"
        )
    return approval


def _checked(approval: Approval, decision: Decision, comment: str | None, edited: Json | None) -> Json | None:
    if decision in ("edit", "respond") and approval.gate not in (Gate.PLAN, Gate.DIFF):
        raise InvalidRequestError(f"This {approval.gate.value} can be approved or rejected only.", "Reject it and send a new request.")
    if decision == "take_over" and approval.gate is not Gate.DIFF:
        raise InvalidRequestError("There is no branch to take over yet.", "Take over when you are asked about the change, or reject this.")
    if decision in ("approve", "take_over") and (found := blocking(from_json(approval.subject.get("secrets")))):
        raise InvalidRequestError(
            f"This change cannot be pushed: it has what looks like a secret ({listed(found)}).",
            "Respond with what should be different, edit it, or reject it. A line that ends with the comment "
            "`pragma: allowlist secret` can be approved.",
            code="secret_in_change",
        )
    if decision == "respond" and not (comment or "").strip():
        raise InvalidRequestError("A response needs a comment.", "Say what should be different in `comment`.")
    if decision != "edit":
        return None
    wanted = "plan" if approval.gate is Gate.PLAN else "patch"
    if not edited or set(edited) != {wanted}:
        raise InvalidRequestError(f"An edit of this {approval.gate.value} needs `edited` with `{wanted}`.", f"Send {{'{wanted}': …}}.")
    if wanted == "patch":
        if not isinstance(edited["patch"], str) or not edited["patch"].strip():
            raise InvalidRequestError("The edited patch is empty.", "Send the whole patch in git's format.")
        if HIDDEN in edited["patch"]:
            raise InvalidRequestError(
                f"The edited patch has `{HIDDEN}`, which only stands in the place of a value that is not shown.",
                "Take those lines out or write what belongs there: `persevere tasks diff TASK` prints the change as it is.",
                code="hidden_value_in_patch",
            )
        return edited
    try:
        return {"plan": Plan.model_validate(edited["plan"]).model_dump(mode="json")}
    except ValidationError as exc:
        first = exc.errors()[0]
        raise InvalidRequestError(f"The edited plan is wrong: {'.'.join(map(str, first['loc']))}: {first['msg']}.") from exc


def _too_late(current: Approval, revision: int) -> ConflictError:
    if current.status is ApprovalStatus.PENDING and current.revision != revision:
        reason = f"revision {revision} was named, but revision {current.revision} is the one that waits"
    elif current.status is ApprovalStatus.PENDING:
        reason = "its time has run out"
    else:
        reason = f"it is already {current.status.value}"
    error = ConflictError(
        f"{current.id} cannot be decided: {reason}.", f"Look at it: `persevere approvals show {current.id}`.", code="already_decided"
    )
    error.details = {"current": current.model_dump(mode="json")}
    return error
