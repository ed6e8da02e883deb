"""Driving tasks as a person would: submit, wait for the question, answer it, wait for the end."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from agent_orchestrator.approvals.service import ApprovalService, Decision
from agent_orchestrator.resources import Resources
from agent_orchestrator.tasks.service import TaskDraft, TaskService
from shared.store import approvals
from shared.store.records import Approval, Task


async def submit(resources: Resources, repo: Path, prompt: str = "rename load_conf to load_config", workflow: str = "refactor") -> Task:
    draft = TaskDraft(user_id="local", prompt=prompt, title=prompt, repo=str(repo), workflow=workflow)
    async with resources.database.transaction() as tx:
        return await TaskService(resources).create(tx, draft)


async def waiting(resources: Resources, task_id: str, limit_s: float = 60) -> Approval:
    """The approval the task waits for."""
    async with asyncio.timeout(limit_s):
        while True:
            async with resources.database.connection() as connection:
                pending = await approvals.pending_for_task(connection, task_id)
            if pending is not None:
                return pending
            task = await TaskService(resources).get(task_id, "local")
            assert not task.status.is_final, (task.status, task.outcome, task.error)
            await asyncio.sleep(0.05)


async def ended(resources: Resources, task_id: str, limit_s: float = 60) -> Task:
    async with asyncio.timeout(limit_s):
        while True:
            task = await TaskService(resources).get(task_id, "local")
            if task.status.is_final:
                return task
            await asyncio.sleep(0.05)


async def decide(resources: Resources, approval: Approval, decision: Decision, **more: Any) -> Approval:
    return await ApprovalService(resources).decide(approval.id, by="local", decision=decision, revision=approval.revision, **more)


async def approve_all(resources: Resources, task_id: str) -> tuple[Task, list[Approval]]:
    """Say yes to every question until the task ends; the end and the questions in order."""
    asked: list[Approval] = []
    async with asyncio.timeout(120):
        while True:
            async with resources.database.connection() as connection:
                pending = await approvals.pending_for_task(connection, task_id)
            if pending is not None:
                asked.append(pending)
                await decide(resources, pending, "approve")
            task = await TaskService(resources).get(task_id, "local")
            if task.status.is_final:
                return task, asked
            await asyncio.sleep(0.05)
