"""The second node: what the message means here, and so which node answers it."""

from __future__ import annotations

import re

from langgraph.runtime import Runtime

from agent_orchestrator.conversation.draft import Draft
from agent_orchestrator.conversation.pending import pending_in_session
from agent_orchestrator.conversation.requests import read_request
from agent_orchestrator.conversation.state import Handles, Route, TurnState
from shared.intent.approvals import is_explicit
from shared.intent.dialogue import Expectation, expectation
from shared.intent.general import is_about_the_assistant
from shared.intent.port import Intent, Turn
from shared.intent.requests import is_question_form
from shared.intent.status import is_status_query
from shared.intent.text import read_text, word_set

_SHORT_ANSWER_WORDS = 8
_OPEN_QUESTION = Turn("assistant", "Which one?")
_OPEN_APPROVAL = Turn("assistant", "A change is awaiting your decision. Approve or reject?")
_ABANDON = re.compile(
    r"(?:(?:no|ok|okay|please|just|actually|oh)[, ]+)*"
    r"(?:never ?mind|forget (?:it|that|about it)|cancel|stop|drop|scrap|leave it|abort|skip it)\b.{0,25}",
    re.IGNORECASE,
)
_ASKS_FOR_STATUS = word_set("status progress eta news updates any show list tell give check")
_HELP = word_set("help hilfe aide ayuda ajuda aiuto")
_ROUTES: dict[Intent, Route] = {
    Intent.STATUS_QUERY: "status",
    Intent.CANCEL_MODIFY: "control",
    Intent.APPROVAL_ACTION: "decide",
    Intent.GENERAL_QUERY: "answer",
    Intent.CLARIFICATION: "answer",
}


async def recognise(state: TurnState, runtime: Runtime[Handles]) -> TurnState:
    """Decisions first, then requests for work (an open one included), then the rest by intent."""
    handles, draft = runtime.context, state["draft"]
    # While a question of ours is open, "yes" answers it and never decides an approval.
    history = [*state["history"][:-1], _OPEN_QUESTION] if draft and state["history"] else state["history"]
    found = await handles.recogniser.recognise(state["text"], () if draft and is_beside(state["text"], draft) else history)
    state = {**state, "recognition": found}
    if found.intent is Intent.APPROVAL_ACTION:
        return {**state, "route": "decide"}
    if draft is None and (implied := await _implied_decision(state, handles)):
        return implied
    if draft is not None and is_abandoned(state["text"]) and not (found.entities or {}).get("tasks"):
        return {**state, "route": "control"}
    if request := await read_request(state, handles):
        return request
    return {**state, "route": _ROUTES.get(found.intent, "answer")}


def is_beside(message: str, draft: Draft) -> bool:
    """Whether a message, though a question of ours is open, asks for help or for a task's status; an offered answer never does."""
    text = read_text(message)
    offered = draft.asked.suggestions if draft.asked else ()
    if text.low.strip(" .!") in (choice.lower() for choice in offered):
        return False
    asks = is_question_form(text) or text.first in _ASKS_FOR_STATUS
    # One word may be a name that was asked for, unless it calls for help.
    is_help = is_about_the_assistant(text) and (len(text.words) != 1 or text.first in _HELP)
    return is_help or (asks and is_status_query(text, Expectation.NOTHING))


def is_abandoned(text: str) -> bool:
    return bool(_ABANDON.fullmatch(text.strip(" .!")))


async def _implied_decision(state: TurnState, handles: Handles) -> TurnState | None:
    """A plain yes or no while tasks of this session wait for a decision, though the last answer did not ask for it."""
    if len(read_text(state["text"]).words) > _SHORT_ANSWER_WORDS or expectation(state["history"]) is Expectation.ANSWER:
        return None
    found = await handles.recogniser.recognise(state["text"], (_OPEN_APPROVAL,))
    if found.intent is not Intent.APPROVAL_ACTION or found.decision is None or not is_explicit(read_text(state["text"])):
        return None
    if state["recognition"].intent is Intent.CANCEL_MODIFY:
        return None
    pending = await pending_in_session(handles.tx, state["session"])
    return {**state, "recognition": found, "approvals": pending, "route": "decide"}
