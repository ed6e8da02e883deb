"""The last node: both messages, and what the session knows after this turn."""

from __future__ import annotations

from langgraph.runtime import Runtime

from agent_orchestrator.conversation.state import Handles, TurnState
from shared.store import sessions
from shared.store.records import Message, Session
from shared.types import Json, new_id, utcnow


async def remember(state: TurnState, runtime: Runtime[Handles]) -> TurnState:
    tx, session, reply = runtime.context.tx, state["session"], state["reply"]
    metadata = answer_metadata(state)
    said = Message(id=new_id("msg"), session_id=session.id, role="user", content=state["text"])
    kept = metadata | {"intent": reply.intent, "task_id": reply.task_id, "suggestions": list(reply.suggestions)}
    answered = Message(id=new_id("msg"), session_id=session.id, role="assistant", content=reply.message, metadata=kept)
    await sessions.record_turn(tx, _after(state), said, answered)
    return {}


def answer_metadata(state: TurnState) -> Json:
    found, reply, draft = state["recognition"], state["reply"], state["draft"]
    return {
        "recognised_intent": found.intent.value,
        "confidence": found.confidence,
        "task_type": found.task_type,
        "recogniser": found.recogniser,
        "missing": [slot.name for slot in draft.missing] if draft else [],
        "approval_id": None,
        "recipe": None,
    } | {name: value for name, value in reply.metadata.items() if value is not None}


def _after(state: TurnState) -> Session:
    """The session as it is after the turn."""
    session, draft, repository = state["session"], state["draft"], state.get("repository")
    context = session.context
    if repository is not None:
        branch = state["request"].context.get("branch")
        if not branch and context.get("repo") == repository.repo:
            branch = context.get("branch")
        context = {**context, "repo": repository.repo, "branch": branch}
    return session.model_copy(update={"draft": draft.to_json() if draft else None, "context": context, "updated_at": utcnow()})
