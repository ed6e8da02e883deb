"""Questions about tasks: where one is, what it waits for, which there are."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

from langgraph.runtime import Runtime

from agent_orchestrator.conversation.pending import describe
from agent_orchestrator.conversation.state import Handles, TurnState
from agent_orchestrator.conversation.turn import Reply
from shared.intent.text import word_set
from shared.store import approvals, tasks
from shared.store.records import Approval, Task
from shared.types import ApprovalStatus, Json, utcnow

_LISTED = 5
_NAMED = re.compile(
    r"\b(?:status|state|progress|stage|latest) (?:of|on|for|with) (?:the |my )?(?:task |job |run )?#?[`'\"]?([\w.-]+)", re.IGNORECASE
)
_TASK = re.compile(r"\b(?:task|job|run) #?[`'\"]?([\w.-]*\d[\w.-]*)", re.IGNORECASE)
_NO_NAME = word_set("it this that them the my our your all last latest current everything task tasks job jobs run things now work")
_LIST = re.compile(r"\b(?:tasks|jobs|runs|everything|all)\b", re.IGNORECASE)
_WAITING = re.compile(r"\b(?:waiting|pending|approvals?)\b", re.IGNORECASE)


async def status(state: TurnState, runtime: Runtime[Handles]) -> TurnState:
    reply, draft = await _answer(state, runtime.context), state["draft"]
    if draft is not None and draft.asked is not None:
        reply = replace(reply, message=f"{reply.message}\nStill open: {draft.asked.question}")
    return {**state, "reply": reply}


async def _answer(state: TurnState, handles: Handles) -> Reply:
    user_id = state["request"].user_id
    names = named_tasks(state)
    if names:
        found = [task for name in names for task in await tasks.find(handles.tx, name, user_id)]
        return await _report(handles, found) if found else await _unknown(handles, user_id, names[0])
    if _WAITING.search(state["text"]):
        waiting, _ = await approvals.list_(handles.tx, user_id=user_id, status=ApprovalStatus.PENDING, limit=_LISTED)
        return _waiting(waiting)
    if not _LIST.search(state["text"]):
        own, _ = await tasks.list_(handles.tx, user_id=user_id, session_id=state["session"].id, limit=1)
        if own:
            return await _report(handles, own)
    latest, _ = await tasks.list_(handles.tx, user_id=user_id, limit=_LISTED)
    if len(latest) == 1:
        return await _report(handles, latest)
    return Reply(list_tasks(latest), "status_query", suggestions=tuple(f"What's the status of {t.id}?" for t in latest))


def named_tasks(state: TurnState) -> list[str]:
    """Task ids or their fragments that the message names, whether they exist or not."""
    entities = state["recognition"].entities or {}
    names = list(entities.get("tasks", []))
    for pattern in (_NAMED, _TASK):
        if not names and (found := pattern.search(state["text"])) and found[1].lower() not in _NO_NAME:
            names.append(found[1])
    return names


async def _report(handles: Handles, found: Sequence[Task]) -> Reply:
    if len(found) > 1:
        return Reply(list_tasks(found), "status_query", suggestions=tuple(f"What's the status of {task.id}?" for task in found))
    task = found[0]
    waiting = await approvals.pending_for_task(handles.tx, task.id)
    metadata: Json = {"approval_id": waiting.id, "revision": waiting.revision} if waiting else {}
    return Reply(describe_task(task, waiting), "status_query", task.id, ("approve", "reject") if waiting else (), metadata)


async def _unknown(handles: Handles, user_id: str, name: str) -> Reply:
    latest, _ = await tasks.list_(handles.tx, user_id=user_id, limit=_LISTED)
    suggestions = tuple(f"What's the status of {task.id}?" for task in latest)
    return Reply(f"There is no task {name[:80]}. {list_tasks(latest)}", "status_query", suggestions=suggestions)


def _waiting(waiting: Sequence[Approval]) -> Reply:
    if not waiting:
        return Reply("Nothing is waiting for your decision.", "status_query")
    lines = [f"- {approval.id}: {describe(approval)}" for approval in waiting]
    choices = tuple(f"approve {approval.id}" for approval in waiting)
    return Reply("Waiting for your decision:\n" + "\n".join(lines), "status_query", suggestions=choices)


def list_tasks(found: Sequence[Task]) -> str:
    if not found:
        return "You have no tasks yet."
    return "The latest tasks:\n" + "\n".join(f"- {task.id}: {task.title} ({task.status.value}, {elapsed(task)})" for task in found)


def describe_task(task: Task, waiting: Approval | None) -> str:
    lines = [f"Task {task.id} ({task.title}) is {task.status.value}, stage {task.stage.value}, {elapsed(task)}."]
    if waiting is not None:
        lines.append(f"It waits for your decision about {describe(waiting)}: {waiting.id}. Approve or reject?")
    elif task.waiting_for and not task.status.is_final:
        lines.append(f"It waits for {task.waiting_for}.")
    elif not task.status.is_final:
        lines.append("It waits for a free worker." if task.status.value == "queued" else "It waits for nobody: work is going on.")
    if task.pr_url:
        lines.append(f"Pull request: {task.pr_url}")
    if task.outcome:
        lines.append(f"Outcome: {task.outcome.replace('_', ' ')}.")
    if task.error:
        lines.append(f"{task.error.message} {task.error.next_step}".strip())
    return "\n".join(lines)


def elapsed(task: Task) -> str:
    """`after 2 min 5 s`: from its creation to its end, or to now."""
    end = task.finished_at or utcnow()
    return f"after {'' if task.status.is_final else 'so far '}{span(end - task.created_at)}".replace("after so far", "running for")


def span(time: timedelta) -> str:
    seconds = max(0, int(time.total_seconds()))
    days, hours, minutes = seconds // 86400, seconds // 3600 % 24, seconds // 60 % 60
    parts = [(days, "d"), (hours, "h"), (minutes, "min"), (seconds % 60, "s")]
    first = next((index for index, (value, _) in enumerate(parts) if value), 3)
    return " ".join(f"{value} {unit}" for value, unit in parts[first : first + 2] if value or first == 3)
