"""Approvals that wait for the person in this conversation."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.store import approvals, tasks
from shared.store.records import Approval, Message, Session
from shared.types import ApprovalStatus, Json

_LOOKED_AT = 50


async def pending_in_session(tx: AsyncConnection, session: Session) -> list[Approval]:
    """Pending approvals of tasks that this session made, newest first."""
    waiting, _ = await approvals.list_(tx, user_id=session.user_id, status=ApprovalStatus.PENDING, limit=_LOOKED_AT)
    if not waiting:
        return []
    own, _ = await tasks.list_(tx, user_id=session.user_id, session_id=session.id, limit=_LOOKED_AT)
    ids = {task.id for task in own}
    return [approval for approval in waiting if approval.task_id in ids]


async def named_approvals(tx: AsyncConnection, user_id: str, entities: Json) -> list[Approval]:
    """Approvals that a message names, by their id or by their task, if they are the user's."""
    found: list[Approval] = []
    for name in entities.get("approvals", []):
        approval = await approvals.get(tx, name)
        if approval is not None and (task := await tasks.get(tx, approval.task_id)) and task.user_id == user_id:
            found.append(approval)
    for name in entities.get("tasks", []):
        for task in await tasks.find(tx, name, user_id):
            if approval := await approvals.pending_for_task(tx, task.id):
                found.append(approval)
    return list({approval.id: approval for approval in found}.values())


def asked_approval(messages: Sequence[Message]) -> tuple[str, int] | None:
    """The approval, with its revision, that the last answer asked about."""
    for message in reversed(messages):
        if message.role == "assistant":
            asked = message.metadata.get("approval_id")
            return (str(asked), int(message.metadata.get("revision", 1))) if asked else None
    return None


def describe(approval: Approval) -> str:
    return f"the {approval.gate.value} of task {approval.task_id} ({approval.title}; risk {approval.risk.level.value})"
