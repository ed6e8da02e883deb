"""Asking for a task as a person does, and what was told about it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from agent_orchestrator.approvals.service import ApprovalService
from agent_orchestrator.conversation.service import ChatTurn, Conversation
from agent_orchestrator.resources import Resources
from agent_orchestrator.tasks.service import TaskService
from shared.events import store as events_store
from shared.store.records import Task
from tests.agent_orchestrator.runtime.driving import ended
from tests.agents.scripted_model import call

PLAN = call("DraftPlan", summary="Strip white space in load_conf", steps=[{"title": "Strip", "files": ["app.py"]}])


def edit(new: str, old: str = "path.upper()") -> Any:
    return call("edit_file", path="app.py", old=old, new=new)


def comment(line: int, severity: str = "blocker", **more: Any) -> dict[str, Any]:
    return {"severity": severity, "file": "app.py", "line": line, "comment": "The path comes twice.", **more}


async def asked_for(resources: Resources, repository: Path, words: str) -> Task:
    conversation = Conversation(resources, TaskService(resources), ApprovalService(resources))
    answer = await conversation.turn(ChatTurn(message=words, user_id="local", context={"repo": str(repository)}))
    assert answer.task_id is not None, answer
    return await ended(resources, answer.task_id)


async def artifact(resources: Resources, task_id: str, name: str) -> str:
    async with resources.database.connection() as connection:
        return (await resources.artifacts.load(connection, task_id, name)).decode()


async def told(resources: Resources, task_id: str, kind: str) -> list[dict[str, Any]]:
    async with resources.database.connection() as connection:
        return [event.data for event in await events_store.read(connection, task_id) if event.type == kind]
