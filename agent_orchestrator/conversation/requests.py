"""Requests for work: a new one, or an answer that completes an open one."""

from __future__ import annotations

import re
from dataclasses import replace

from agent_orchestrator.conversation.draft import DETAILS, REPOSITORY, Draft
from agent_orchestrator.conversation.repository import find_repository, named_by_answer
from agent_orchestrator.conversation.state import Handles, TurnState
from shared.errors import RepositoryError
from shared.intent.general import is_injection
from shared.intent.port import Intent, Recognition
from shared.intent.text import read_text
from shared.recipes.port import MissingSlot, RecipeBook, RecipeMatch
from shared.recipes.repository_config import RepositoryConfig
from shared.store import projects
from shared.types import Json

_PARSED = 4_000
_MATERIAL = re.compile(r"^[ \t]{0,3}(?:```|~~~|diff --git |--- \S|@@ -)", re.MULTILINE)
_BESIDE_THE_QUESTION = (Intent.STATUS_QUERY, Intent.CANCEL_MODIFY)


async def read_request(state: TurnState, handles: Handles) -> TurnState | None:
    """The state with a draft and the route `submit` (complete) or `clarify`; None when the message asks for no work."""
    found, open_draft = state["recognition"], state["draft"]
    if is_injection(read_text(state["text"])):
        return None
    match = parse_request(handles.recipes, state["text"], state.get("config"))
    if _is_new_request(match, found, open_draft):
        return await _complete(_with_place(state, _new_draft(state)), handles)
    if open_draft is None or found.intent in _BESIDE_THE_QUESTION or (found.intent is Intent.GENERAL_QUERY and found.confidence >= 0.9):
        return None
    return await _continue(state, open_draft, handles)


def parse_request(recipes: RecipeBook, text: str, config: RepositoryConfig | None) -> RecipeMatch | None:
    """What a request asks of the recipes. Of a long one the beginning counts, unless it carries a block or a diff to work with."""
    is_whole = len(text) <= _PARSED or _MATERIAL.search(text)
    return recipes.parse(text if is_whole else text[:_PARSED], config)


def _is_new_request(match: RecipeMatch | None, found: Recognition, open_draft: Draft | None) -> bool:
    if found.intent is Intent.TASK_SUBMISSION:
        return open_draft is None or not found.needs_clarification or match is not None
    if match is None:
        return False
    is_complete = not match.missing
    if found.intent in _BESIDE_THE_QUESTION:
        return is_complete and match.confidence >= 0.9 and not found.entities
    return is_complete or open_draft is None


def _new_draft(state: TurnState) -> Draft:
    kept = {name: state["request"].context[name] for name in ("file_path", "selection") if state["request"].context.get(name)}
    return Draft(state["text"], state["recognition"].task_type, context=kept or None)


def _with_place(state: TurnState, draft: Draft) -> TurnState:
    return {**state, "draft": draft}


async def _continue(state: TurnState, draft: Draft, handles: Handles) -> TurnState:
    """Take the message as the answer to the draft's first open question."""
    slot = draft.asked
    if slot is None:
        return await _complete(state, handles)
    if slot.name == REPOSITORY:
        return await _take_repository(state, draft, handles)
    if slot.name == DETAILS or draft.recipe is None:
        joined = replace(draft, text=f"{draft.text}\n{state['text']}", missing=())
        return await _complete({**state, "draft": joined}, handles, details_asked=True)
    state = await locate(state, handles)
    slots = handles.recipes.get(draft.recipe).answer(draft.slots or {}, slot.name, state["text"], state.get("config"))
    if slots is None:
        again = (
            replace(slot, question=f"I could not take that as an answer. {slot.question}")
            if "could not take" not in slot.question
            else slot
        )
        return {**state, "draft": replace(draft, missing=(again, *draft.missing[1:])), "route": "clarify"}
    return await _complete({**state, "draft": draft.filled(slots)}, handles)


async def _take_repository(state: TurnState, draft: Draft, handles: Handles) -> TurnState:
    name = await named_by_answer(handles.tx, state["request"].user_id, state["text"])
    try:
        found = handles.places.get((name, None))
    except RepositoryError as error:
        asked = MissingSlot(
            REPOSITORY, f"{error.message} Which repository do you mean? {error.next_step}".strip(), draft.missing[0].suggestions
        )
        return {**state, "draft": replace(draft, missing=(asked, *draft.missing[1:])), "route": "clarify"}
    filled = replace(draft, missing=draft.missing[1:])
    return await _complete({**state, "draft": filled, "repository": found.repository, "config": found.config}, handles)


async def _complete(state: TurnState, handles: Handles, *, details_asked: bool = False) -> TurnState:
    """Ask what the work itself lacks, then which repository; else the draft is ready."""
    state = await locate(state, handles)
    draft = state["draft"]
    if draft is None:
        raise RuntimeError("a request without a draft")
    if draft.recipe is None:
        draft = _by_recipe(draft, handles, state.get("config"))
    elif state.get("config") is not None and not draft.missing:
        draft = _recheck(draft, handles, state.get("config"))
    if draft.recipe is None and not details_asked and _is_vague(state["recognition"]) and not draft.context:
        found = state["recognition"]
        draft = draft.lacking(MissingSlot(DETAILS, found.question or "What should be changed, and where in the code?"))
    if not draft.missing and state.get("repository") is None:
        draft = draft.lacking(await _repository_question(handles, state))
    return {**state, "draft": draft, "route": "clarify" if draft.missing else "submit"}


def _by_recipe(draft: Draft, handles: Handles, config: RepositoryConfig | None) -> Draft:
    match = parse_request(handles.recipes, draft.text, config)
    return draft if match is None else draft.with_match(match)


def _recheck(draft: Draft, handles: Handles, config: RepositoryConfig | None) -> Draft:
    """A recipe that was read before the repository was known may lack something that only its configuration tells."""
    match = parse_request(handles.recipes, draft.text, config)
    if match is None or match.recipe != draft.recipe:
        return draft
    if match.slots.get("unconfigured"):
        return draft.with_match(match)
    known: Json = {**match.slots, **(draft.slots or {})}
    missing = tuple(slot for slot in match.missing if slot.name not in known)
    return replace(draft, slots=known, missing=missing)


def _is_vague(found: Recognition) -> bool:
    return found.intent is Intent.TASK_SUBMISSION and found.needs_clarification


async def locate(state: TurnState, handles: Handles) -> TurnState:
    """The state with the repository and its configuration, once. `RepositoryError` when the named one cannot be used."""
    if state.get("repository") is not None:
        return state
    place = await find_repository(handles.tx, state["request"], state["session"])
    if place is None:
        return state
    found = handles.places.get(place)
    return {**state, "repository": found.repository, "config": found.config}


async def _repository_question(handles: Handles, state: TurnState) -> MissingSlot:
    known, _ = await projects.list_(handles.tx, state["request"].user_id, limit=10)
    return MissingSlot(REPOSITORY, "Which repository? Give its path, or the name of a project.", tuple(project.name for project in known))
