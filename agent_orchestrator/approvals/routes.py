"""Approvals: what waits for a person, and the decision."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from agent_orchestrator.approvals.schemas import ApprovalList, ApprovalView, DecisionRequest
from agent_orchestrator.dependencies import Given, Paged
from agent_orchestrator.errors import BODY, problems
from agent_orchestrator.idempotency import Keyed
from shared.errors import ConflictError
from shared.store import approvals
from shared.types import ApprovalStatus

router = APIRouter(tags=["approvals"])


@router.get("/approvals", response_model=ApprovalList, responses=problems(422))
async def list_approvals(
    given: Given,
    paged: Paged,
    status: ApprovalStatus | None = None,
    task_id: Annotated[str | None, Query(max_length=200, description="Only those of one task, oldest first, without pages.")] = None,
) -> ApprovalList:
    """Pending ones first, then the newest."""
    if task_id is not None:
        await given.tasks.get(task_id, given.user_id)
    async with given.resources.database.connection() as tx:
        if task_id is not None:
            of_task = await approvals.for_task(tx, task_id)
            return ApprovalList(items=[ApprovalView.of(item) for item in of_task if status in (None, item.status)])
        found, cursor = await approvals.list_(
            tx, user_id=given.user_id, status=status.value if status else None, limit=paged.limit, cursor=paged.cursor
        )
    return ApprovalList(items=[ApprovalView.of(item) for item in found], next_cursor=cursor)


@router.get("/approvals/{approval_id}", response_model=ApprovalView, responses=problems(404))
async def get_approval(approval_id: str, given: Given) -> ApprovalView:
    """One approval with its whole subject."""
    return ApprovalView.of(await given.approvals.get(approval_id, given.user_id))


@router.post("/approvals/{approval_id}/decision", response_model=ApprovalView, responses=problems(404, 409, *BODY))
async def decide(request: Request, approval_id: str, body: DecisionRequest, given: Given) -> Response:
    """Decide once. 409 with the state as `current` when it was decided, superseded or has expired."""
    keyed = Keyed(request, given, 200)
    async with keyed.transaction() as tx:
        try:
            decided = await given.approvals.decide(
                approval_id,
                by=given.user_id,
                decision=body.decision,
                revision=body.revision,
                comment=body.comment,
                edited=body.edited,
                within=tx,
            )
        except ConflictError as exc:
            current = await approvals.get(tx, approval_id)
            exc.details = {"current": ApprovalView.of(current).model_dump(mode="json")} if current else {}
            raise
        return await keyed.keep(tx, ApprovalView.of(decided))
