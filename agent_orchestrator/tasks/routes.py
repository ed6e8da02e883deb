"""Tasks: made, listed, read, stopped, tried again and told something."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query, Request
from sqlalchemy.ext.asyncio import AsyncConnection
from starlette.responses import Response

from agent_orchestrator.dependencies import Given, Paged, Services
from agent_orchestrator.errors import BODY, problems
from agent_orchestrator.idempotency import Keyed
from agent_orchestrator.tasks.schemas import MessageToTask, RetryRequest, TaskAccepted, TaskList, TaskRequest, TaskView
from agent_orchestrator.tasks.submission import check_model, prepare
from shared.store import approvals, tasks
from shared.store.records import Task
from shared.types import TaskStatus, utcnow

router = APIRouter(tags=["tasks"])


@router.post("/tasks", response_model=TaskAccepted, status_code=202, responses=problems(404, 409, 429, *BODY))
async def create_task(request: Request, body: TaskRequest, given: Given) -> Response:
    """A structured task. It is queued; GET /tasks/{id}/events tells what becomes of it."""
    keyed = Keyed(request, given, 202)
    await keyed.check()
    draft = await prepare(given, body)
    async with keyed.transaction() as tx:
        task = await given.tasks.create(tx, draft)
        return await keyed.keep(tx, TaskAccepted(task_id=task.id, status=TaskStatus.QUEUED, message=f"{task.id} is queued."))


@router.post("/orchestrate", response_model=TaskAccepted, status_code=202, responses=problems(404, 409, 429, *BODY))
async def orchestrate(request: Request, body: TaskRequest, given: Given) -> Response:
    """The same as POST /tasks."""
    return await create_task(request, body, given)


@router.get("/tasks", response_model=TaskList, responses=problems(422))
async def list_tasks(
    given: Given,
    paged: Paged,
    status: Annotated[list[TaskStatus] | None, Query(description="May be given several times.")] = None,
    project_id: Annotated[str | None, Query(max_length=200)] = None,
    session_id: Annotated[str | None, Query(max_length=200)] = None,
) -> TaskList:
    """Your tasks, newest first."""
    async with given.resources.database.connection() as tx:
        found, cursor = await tasks.list_(
            tx,
            user_id=given.user_id,
            project_id=project_id,
            session_id=session_id,
            status=[item.value for item in status] if status else None,
            limit=paged.limit,
            cursor=paged.cursor,
        )
    now = utcnow()
    return TaskList(items=[TaskView.of(task, now) for task in found], next_cursor=cursor)


@router.get("/tasks/{task_id}", response_model=TaskView, responses=problems(404))
async def get_task(task_id: str, given: Given) -> TaskView:
    """One task, with the approval it waits for."""
    return await _shown(given, await given.tasks.get(task_id, given.user_id))


@router.post("/tasks/{task_id}/cancel", response_model=TaskView, responses=problems(404, 409, 408))
async def cancel_task(task_id: str, given: Given) -> TaskView:
    """Stop a task; answers when it has stopped, or after 10 s with its state."""
    await given.tasks.get(task_id, given.user_id)
    return await _shown(given, await given.tasks.cancel(task_id, given.user_id))


@router.post("/tasks/{task_id}/retry", response_model=TaskView, responses=problems(404, 409, *BODY))
async def retry_task(request: Request, task_id: str, given: Given, body: RetryRequest | None = None) -> Response:
    """Try a task that ended badly again, from the stage that failed."""
    await given.tasks.get(task_id, given.user_id)
    body = body or RetryRequest()
    await check_model(given, body.model)
    keyed = Keyed(request, given, 200)
    async with keyed.transaction() as tx:
        task = await given.tasks.retry(task_id, given.user_id, body.hint, within=tx, **body.model_dump(exclude={"hint"}))
        return await keyed.keep(tx, await _view(tx, task))


@router.post("/tasks/{task_id}/messages", response_model=TaskView, responses=problems(404, 409, *BODY))
async def tell_task(request: Request, task_id: str, body: MessageToTask, given: Given) -> Response:
    """Tell a running task something."""
    await given.tasks.get(task_id, given.user_id)
    keyed = Keyed(request, given, 200)
    async with keyed.transaction() as tx:
        task = await given.tasks.message(task_id, given.user_id, body.message, within=tx)
        return await keyed.keep(tx, await _view(tx, task))


async def _shown(given: Services, task: Task) -> TaskView:
    async with given.resources.database.connection() as tx:
        return await _view(tx, task)


async def _view(tx: AsyncConnection, task: Task) -> TaskView:
    waiting = None if task.status.is_final else await approvals.pending_for_task(tx, task.id)
    return TaskView.of(task, utcnow(), waiting.id if waiting else None)
