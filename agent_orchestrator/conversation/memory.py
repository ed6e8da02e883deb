"""The last node: both messages, and what the session knows after this turn."""

from __future__ import annotations

from typing import Any

from langgraph.runtime import Runtime

from agent_orchestrator.conversation.state import Handles, TurnState
from shared.store import sessions
from shared.store.records import Message
from shared.types import Json, new_id


async def remember(state: TurnState, runtime: Runtime[Handles]) -> TurnState:
    tx, session, reply = runtime.context.tx, state["session"], state["reply"]
    metadata = answer_metadata(state)
    said = Message(id=new_id("msg"), session_id=session.id, role="user", content=state["text"])
    kept = metadata | {"intent": reply.intent, "task_id": reply.task_id, "suggestions": list(reply.suggestions)}
    answered = Message(id=new_id("msg"), session_id=session.id, role="assistant", content=reply.message, metadata=kept)
    await sessions.add_messages(tx, [said, answered])
    await sessions.update(tx, session.id, **_changes(state))
    return state


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


def _changes(state: TurnState) -> dict[str, Any]:
    session, draft, repository = state["session"], state["draft"], state.get("repository")
    changes: dict[str, Any] = {"draft": draft.to_json() if draft else None}
    if repository is not None:
        branch = state["request"].context.get("branch")
        if not branch and session.context.get("repo") == repository.repo:
            branch = session.context.get("branch")
        changes["context"] = {**session.context, "repo": repository.repo, "branch": branch}
    return changes
