"""Deciding an approval from the conversation. Without a clear yes or no to exactly one approval, a question is asked."""

from __future__ import annotations

from collections.abc import Sequence

from langgraph.runtime import Runtime

from agent_orchestrator.conversation.pending import asked_approval, describe, named_approvals, pending_in_session
from agent_orchestrator.conversation.state import Handles, TurnState
from agent_orchestrator.conversation.turn import Reply
from shared.errors import PersevereError
from shared.intent.approvals import is_explicit
from shared.intent.text import read_text
from shared.store import approvals
from shared.store.records import Approval
from shared.types import ApprovalStatus

_LONGEST_COMMENT = 2_000


async def decide(state: TurnState, runtime: Runtime[Handles]) -> TurnState:
    handles, found = runtime.context, state["recognition"]
    entities = found.entities or {}
    named = [*entities.get("approvals", []), *entities.get("tasks", [])]
    candidates = await _candidates(state, handles)
    if not candidates:
        return {**state, "reply": _nothing(named)}
    if len(candidates) > 1:
        return {**state, "reply": _which(candidates, found.decision)}
    approval = candidates[0]
    asked = asked_approval(state["messages"])
    is_stale = not named and asked is not None and asked[0] == approval.id and asked[1] != approval.revision
    # What was not asked for in the last answer needs a word that can mean nothing else.
    is_loose = not named and asked is None and not is_explicit(read_text(state["text"]))
    if found.decision is None or is_stale or is_loose:
        return {**state, "reply": _clear_answer(approval, is_stale)}
    return {**state, "reply": await _decide(state, handles, approval)}


async def _candidates(state: TurnState, handles: Handles) -> Sequence[Approval]:
    """What the message may decide: what it names, else what was asked last, else what waits in this session."""
    entities = state["recognition"].entities or {}
    if entities.get("approvals") or entities.get("tasks"):
        return await named_approvals(handles.tx, state["request"].user_id, entities)
    if asked := asked_approval(state["messages"]):
        approval = await approvals.get(handles.tx, asked[0])
        if approval is not None and approval.status is ApprovalStatus.PENDING:
            return [approval]
    known = state.get("approvals")
    return known if known is not None else await pending_in_session(handles.tx, state["session"])


async def _decide(state: TurnState, handles: Handles, approval: Approval) -> Reply:
    decision = state["recognition"].decision
    if decision is None:
        raise RuntimeError("an approval without a decision")
    metadata = {"approval_id": approval.id}
    comment = state["text"][:_LONGEST_COMMENT] if decision == "reject" and len(state["text"].split()) > 2 else None
    try:
        await handles.approvals.decide(
            approval.id,
            by=state["request"].user_id,
            decision=decision,
            revision=approval.revision,
            comment=comment,
            within=handles.tx,
        )
    except PersevereError as error:
        message = f"{error.message} {error.next_step}".strip()
        return Reply(message, "error", approval.task_id, metadata=metadata | {"code": error.code})
    done, then = (
        ("Approved", "the task goes on") if decision == "approve" else ("Rejected", "the task takes notice and says what happens next")
    )
    message = f"{done}: {describe(approval)}; {then}."
    return Reply(message, "approval_action", approval.task_id, (f"What's the status of {approval.task_id}?",), metadata)


def _nothing(named: Sequence[str]) -> Reply:
    what = (
        f"There is no approval for {named[0]} that you can decide."
        if named
        else "Nothing is waiting for your decision in this conversation."
    )
    return Reply(f"{what} Ask “anything waiting on me?” to see all.", "approval_action", suggestions=("anything waiting on me?",))


def _which(candidates: Sequence[Approval], decision: str | None) -> Reply:
    lines = "\n".join(f"- {approval.id}: {describe(approval)}" for approval in candidates)
    choices = tuple(f"{decision or 'approve'} {approval.id}" for approval in candidates)
    return Reply(f"Several decisions are waiting. Which one do you mean?\n{lines}", "clarification", suggestions=choices)


def _clear_answer(approval: Approval, is_stale: bool) -> Reply:
    lead = "What waits has changed since I asked." if is_stale else "I did not take that as a clear yes or no."
    question = (
        f"{lead} Do you approve {describe(approval)}? Say approve or reject; to change the plan, reject it and say what should differ."
    )
    metadata = {"approval_id": approval.id, "revision": approval.revision}
    return Reply(question, "clarification", approval.task_id, ("approve", "reject"), metadata)
