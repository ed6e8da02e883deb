"""Submitting a complete request as a task, and asking for what an incomplete one lacks."""

from __future__ import annotations

from langgraph.runtime import Runtime

from agent_orchestrator.conversation.draft import Draft
from agent_orchestrator.conversation.repository import own_project
from agent_orchestrator.conversation.state import Handles, TurnState
from agent_orchestrator.conversation.turn import Reply
from agent_orchestrator.tasks.service import TaskDraft
from shared.forge.port import RepositoryInfo
from shared.store import projects
from shared.types import Json

_TITLE = 120
_FALLBACK_WORKFLOW = "feature_dev"
_REPORTS = ("code_review", "investigation")


async def clarify(state: TurnState, runtime: Runtime[Handles]) -> TurnState:
    draft = _draft(state)
    asked = draft.asked
    if asked is None:
        raise RuntimeError("nothing to ask")
    metadata = _metadata(draft) | {"missing": [slot.name for slot in draft.missing]}
    reply = Reply(asked.question, "clarification", suggestions=asked.suggestions, metadata=metadata)
    # What is not configured cannot be answered in the chat: the request is not kept.
    kept = None if (draft.slots or {}).get("unconfigured") else draft
    return {**state, "draft": kept, "reply": reply}


async def submit(state: TurnState, runtime: Runtime[Handles]) -> TurnState:
    handles, draft, repository = runtime.context, _draft(state), state.get("repository")
    if repository is None:
        raise RuntimeError("a task without a repository")
    recipe = handles.recipes.get(draft.recipe) if draft.recipe else None
    workflow = recipe.workflow if recipe else draft.task_type or _FALLBACK_WORKFLOW
    request: Json = {"recipe": {"name": draft.recipe, "slots": draft.slots or {}} if recipe else None, "task_type": draft.task_type}
    task = await handles.tasks.create(
        handles.tx,
        TaskDraft(
            user_id=state["request"].user_id,
            prompt=draft.text,
            title=_title(draft.text),
            repo=repository.repo,
            branch=_branch(state, repository),
            workflow=workflow if workflow in handles.workflows else _FALLBACK_WORKFLOW,
            session_id=state["session"].id,
            project_id=await _project_id(state, handles, repository),
            request=request | (draft.context or {}),
        ),
    )
    does = (
        f"by the recipe {recipe.name}: {recipe.summary[:1].lower()}{recipe.summary[1:]}" if recipe else "by a model, since no recipe fits"
    )
    lines = [f"Task {task.id} is created for {repository.repo}. It will be planned {does}."]
    if workflow in _REPORTS and (recipe or handles.has_model):
        lines.append("Nothing is changed: the report is the answer.")
    elif recipe or handles.has_model:
        lines.append("I ask for your approval before anything is changed.")
    else:
        lines.append("No model is configured, so planning will stop and say what to set; the task can be retried then.")
    lines += [f"Note: {note}" for note in repository.notes]
    reply = Reply("\n".join(lines), "task_created", task.id, (f"What's the status of {task.id}?",), _metadata(draft))
    return {**state, "draft": None, "reply": reply}


def _draft(state: TurnState) -> Draft:
    draft = state["draft"]
    if draft is None:
        raise RuntimeError("a request without a draft")
    return draft


def _metadata(draft: Draft) -> Json:
    return {"recipe": draft.recipe, "task_type": draft.task_type}


def _title(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _TITLE else line[: _TITLE - 1].rstrip() + "…"


def _branch(state: TurnState, repository: RepositoryInfo) -> str | None:
    branch = state["request"].context.get("branch")
    if isinstance(branch, str) and branch.strip():
        return branch.strip()
    remembered = state["session"].context
    return remembered.get("branch") if remembered.get("repo") == repository.repo else None


async def _project_id(state: TurnState, handles: Handles, repository: RepositoryInfo) -> str | None:
    if project := await own_project(handles.tx, state["request"]):
        return project.id
    found = await projects.by_repo(handles.tx, state["request"].user_id, repository.repo)
    return found.id if found else None
