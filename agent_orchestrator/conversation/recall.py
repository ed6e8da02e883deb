"""The first node: the session, locked, and what was said in it."""

from __future__ import annotations

from langgraph.runtime import Runtime

from agent_orchestrator.conversation.draft import Draft
from agent_orchestrator.conversation.state import Handles, TurnState
from shared.errors import ConflictError, NotFoundError
from shared.intent.port import Turn
from shared.store import sessions
from shared.store.records import Session
from shared.types import new_id

_REMEMBERED = 10
_TITLE = 80


async def recall(state: TurnState, runtime: Runtime[Handles]) -> TurnState:
    session, is_new = await _open_session(state, runtime.context)
    messages = [] if is_new else await sessions.messages(runtime.context.tx, session.id, limit=_REMEMBERED)
    history = [Turn(message.role, message.content) for message in messages]
    return {"session": session, "messages": messages, "history": history, "draft": Draft.from_json(session.draft)}


async def _open_session(state: TurnState, handles: Handles) -> tuple[Session, bool]:
    request = state["request"]
    if request.session_id is not None and (found := await sessions.lock(handles.tx, request.session_id)):
        return _own(found, request.user_id), False
    title = " ".join(state["text"].split())[:_TITLE]
    session = Session(id=request.session_id or new_id("session"), user_id=request.user_id, title=title)
    if await sessions.begin(handles.tx, session):
        return session, True
    # Another first turn of the same session was faster.
    found = await sessions.lock(handles.tx, session.id)
    if found is None:
        raise ConflictError(f"The session {session.id} is being deleted.", "Send the message again.")
    return _own(found, request.user_id), False


def _own(session: Session, user_id: str) -> Session:
    if session.user_id != user_id:
        raise NotFoundError(f"There is no session {session.id}.", "Leave session_id out to begin a new one.")
    return session
