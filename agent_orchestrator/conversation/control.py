"""Control of existing tasks: cancel, retry, tell something; and dropping an open request."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

from langgraph.runtime import Runtime

from agent_orchestrator.conversation.state import Handles, TurnState
from agent_orchestrator.conversation.status import list_tasks, named_tasks
from agent_orchestrator.conversation.turn import Reply
from shared.errors import PersevereError
from shared.store import tasks
from shared.store.records import Task
from shared.types import TaskStatus

Wish = Literal["cancel", "retry", "pause", "undo", "tell"]

_WISHES: tuple[tuple[Wish, re.Pattern[str]], ...] = (
    ("undo", re.compile(r"\b(?:undo|revert|roll ?back|roll (?:it|that|this) back)\b", re.IGNORECASE)),
    (
        "retry",
        re.compile(r"\b(?:retry|restart|re-?run|try (?:it |that )?again|again|redo|repeat|reopen|once more|start over)\b", re.IGNORECASE),
    ),
    ("pause", re.compile(r"\b(?:pause|resume|hold|suspend|unpause|postpone|delay|priority|prioriti[sz]e|reassign)\b", re.IGNORECASE)),
    (
        "cancel",
        re.compile(
            r"\b(?:cancel\w*|stop\w*|abort|kill|halt|scrap|drop|terminate|discard"
            r"|forget|never ?mind|quit|annul\w+|abbrechen|brich|arrête)\b|取消|停止",
            re.IGNORECASE,
        ),
    ),
)
_HINT = re.compile(r"\b(?:with|but|using|and this time|this time)\b.+", re.IGNORECASE | re.DOTALL)
_RETRIED = (TaskStatus.FAILED, TaskStatus.CANCELLED)


async def control(state: TurnState, runtime: Runtime[Handles]) -> TurnState:
    wish = read_wish(state["text"])
    draft = state["draft"]
    if draft is not None and wish == "cancel" and not named_tasks(state):
        return {**state, "draft": None, "reply": Reply("All right, I dropped that request. Nothing was started.", "general_query")}
    if wish == "undo":
        message = "I do not take changes back by myself: close or revert the pull request, or ask for the change that puts it right."
        return {**state, "reply": Reply(message, "general_query")}
    if wish == "pause":
        message = "A task cannot be paused or ranked. It waits by itself at each approval, and it can be cancelled and retried later."
        return {**state, "reply": Reply(message, "general_query")}
    found = await _targets(state, runtime.context, wish)
    if len(found) != 1:
        return {**state, "reply": _none_or_several(found, wish, named_tasks(state))}
    return {**state, "reply": await _carry_out(state, runtime.context, found[0], wish)}


def read_wish(text: str) -> Wish:
    return next((wish for wish, pattern in _WISHES if pattern.search(text)), "tell")


async def _targets(state: TurnState, handles: Handles, wish: Wish) -> list[Task]:
    """The tasks meant: those named, else those of this session that the wish can be about; for a retry the latest one."""
    user_id = state["request"].user_id
    if names := named_tasks(state):
        return [task for name in names[:1] for task in await tasks.find(handles.tx, name, user_id)]
    own, _ = await tasks.list_(handles.tx, user_id=user_id, session_id=state["session"].id, limit=20)
    if wish == "retry":
        return [task for task in own if task.status in _RETRIED][:1]
    return [task for task in own if not task.status.is_final]


def _none_or_several(found: Sequence[Task], wish: Wish, names: Sequence[str]) -> Reply:
    verb = "tell that to" if wish == "tell" else wish
    if found:
        choices = tuple(f"{wish} {task.id}" for task in found) if wish != "tell" else tuple(task.id for task in found)
        return Reply(f"Which task shall I {verb}? {list_tasks(found)}", "clarification", suggestions=choices)
    if names:
        return Reply(f"There is no task {names[0]}. Ask “show my tasks” to see them.", "general_query", suggestions=("show my tasks",))
    state = "that failed or was cancelled" if wish == "retry" else "that is still going on"
    return Reply(f"There is no task in this conversation {state}.", "general_query", suggestions=("show my tasks",))


async def _carry_out(state: TurnState, handles: Handles, task: Task, wish: Wish) -> Reply:
    user_id, text = state["request"].user_id, state["text"]
    status = (f"What's the status of {task.id}?",)
    try:
        if wish == "cancel":
            task = await _cancel(handles, task.id, user_id)
            end = "is cancelled" if task.status is TaskStatus.CANCELLED else "is being cancelled"
            return Reply(f"Task {task.id} ({task.title}) {end}. “retry {task.id}” begins it again.", "task_updated", task.id, status)
        if wish == "retry":
            hint = _HINT.search(text)
            task = await handles.tasks.retry(task.id, user_id, hint[0] if hint else None, within=handles.tx)
            return Reply(f"Task {task.id} ({task.title}) is tried again.", "task_updated", task.id, status)
        task = await handles.tasks.message(task.id, user_id, text, within=handles.tx)
        return Reply(f"I passed that on to task {task.id} ({task.title}).", "task_updated", task.id, status)
    except PersevereError as error:
        return Reply(f"{error.message} {error.next_step}".strip(), "error", task.id, metadata={"code": error.code})


async def _cancel(handles: Handles, task_id: str, user_id: str) -> Task:
    """In transactions of its own: it waits for the worker that must see it."""
    await handles.turn.pause()
    try:
        return await handles.tasks.cancel(task_id, user_id)
    finally:
        await handles.turn.resume()
