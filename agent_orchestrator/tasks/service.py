"""Tasks as their owner handles them: create, cancel, retry, tell something."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from sqlalchemy.ext.asyncio import AsyncConnection

from agent_orchestrator.runtime.endings import cancel_idle
from agent_orchestrator.runtime.host import is_gone
from agent_orchestrator.runtime.spend import Used
from shared.errors import ConflictError, InvalidRequestError, NotFoundError
from shared.events import store as events_store
from shared.jobs.priority import BATCH, INTERACTIVE
from shared.store import approvals, audit, marks, runs, tasks
from shared.store.joining import joined
from shared.store.records import Run, Task
from shared.types import Gate, Json, Stage, TaskStatus, new_id

if TYPE_CHECKING:
    from agent_orchestrator.resources import Resources

CANCEL_WAIT_S = 10.0


@dataclass(frozen=True)
class TaskDraft:
    """A complete request. `repo` is the forge's canonical name; `branch` the branch to start from (None: the default one)."""

    user_id: str
    prompt: str
    title: str
    repo: str
    workflow: str
    branch: str | None = None
    session_id: str | None = None
    project_id: str | None = None
    request: Json = field(default_factory=dict)


class TaskService:
    def __init__(self, resources: Resources) -> None:
        self._resources = resources

    async def create(self, tx: AsyncConnection, draft: TaskDraft) -> Task:
        """The task, its run, its first event, its audit entry and its job, all in the caller's transaction."""
        self._resources.workflows.get(draft.workflow)
        task = Task(
            id=new_id("task"),
            user_id=draft.user_id,
            project_id=draft.project_id,
            session_id=draft.session_id,
            title=draft.title[:200] or "Untitled",
            prompt=draft.prompt,
            repo=draft.repo,
            base_branch=draft.branch,
            workflow=draft.workflow,
            request=draft.request,
        )
        await tasks.insert(tx, task)
        priority = BATCH if draft.request.get("priority") == "batch" else INTERACTIVE
        await runs.insert(tx, task.id, priority=priority)
        started: Json = {"new_status": TaskStatus.QUEUED.value, "details": task.title}
        await events_store.append(tx, task.id, Stage.QUEUE, [("status_update", started)])
        await self._resources.jobs.enqueue(tx, task.id, priority=priority)
        await audit.append(
            tx,
            actor=draft.user_id,
            action="task.created",
            task_id=task.id,
            subject=task.id,
            data={"repo": task.repo, "workflow": task.workflow, "prompt": task.prompt[:2000]},
        )
        return task

    async def get(self, task_id: str, user_id: str) -> Task:
        async with self._resources.database.connection() as connection:
            return _owned(await tasks.get(connection, task_id), task_id, user_id)

    async def cancel(self, task_id: str, by: str) -> Task:
        """Stop a task. Answers once it is stopped, or with its state after 10 s when its worker cannot be reached."""
        async with self._resources.database.transaction() as tx:
            run = await runs.lock(tx, task_id)
            task = _owned(await tasks.get(tx, task_id), task_id, by)
            if task.status.is_final:
                raise _already_ended(task)
            await audit.append(tx, actor=by, action="task.cancel", task_id=task_id, subject=task_id, data={})
            if run is None or _nobody_works(run):
                await cancel_idle(tx, task_id, "cancelled")
            else:
                await runs.request_cancel(tx, task_id)
                await self._resources.jobs.enqueue(tx, task_id)
        return await self._when_ended(task_id, by)

    async def retry(
        self,
        task_id: str,
        by: str,
        hint: str | None = None,
        *,
        cost_budget_usd: float | None = None,
        time_budget_s: float | None = None,
        model: str | None = None,
        within: AsyncConnection | None = None,
    ) -> Task:
        """Try a failed task again from the stage that failed; a cancelled one from its beginning. A `hint` is planned by first.

        Budgets (US dollars, seconds) are what it may use in all from now on; `InvalidRequestError` for less than it has used.
        """
        async with joined(self._resources.database, within) as tx:
            run = await runs.lock(tx, task_id)
            task = _owned(await tasks.get(tx, task_id), task_id, by)
            if task.status not in (TaskStatus.FAILED, TaskStatus.CANCELLED):
                raise ConflictError(
                    f"{task.id} is {task.status.value}: only a failed or cancelled task can be retried.", "Send a new request instead."
                )
            assert run is not None
            thread_id = run.thread_id
            if task.status is TaskStatus.CANCELLED:
                thread_id = f"{task_id}.{run.epoch}"
            await runs.update(tx, task_id, state="idle", thread_id=thread_id, cancel_requested=False, poison_count=0, checkpoint_id=None)
            changes: Json = {"cost_budget_usd": cost_budget_usd, "time_budget_s": time_budget_s, "model": model}
            asked = sum(one.gate is Gate.BUDGET for one in await approvals.for_task(tx, task_id))
            request = with_changes(task, {"hint": hint.strip() if hint and hint.strip() else None, **changes}, asked)
            task = await tasks.update(
                tx, task_id, status=TaskStatus.QUEUED, request=request, error=None, outcome=None, finished_at=None, waiting_for=None
            )
            await marks.clear(tx, task_id)
            again: Json = {"new_status": TaskStatus.QUEUED.value, "details": "trying again"}
            await events_store.append(tx, task_id, Stage.QUEUE, [("status_update", again)])
            await self._resources.jobs.enqueue(tx, task_id)
            await audit.append(tx, actor=by, action="task.retry", task_id=task_id, subject=task_id, data={"hint": hint, **_given(changes)})
        return task

    async def message(self, task_id: str, by: str, text: str, *, within: AsyncConnection | None = None) -> Task:
        """Keep a remark with the task, where its planner and its readers find it."""
        if not text.strip():
            raise InvalidRequestError("The message is empty.", "Say what the task should know.")
        async with joined(self._resources.database, within) as tx:
            await runs.lock(tx, task_id)
            task = _owned(await tasks.get(tx, task_id), task_id, by)
            if task.status.is_final:
                raise _already_ended(task)
            remarks = [*task.request.get("messages", []), {"by": by, "text": text}]
            task = await tasks.update(tx, task_id, request={**task.request, "messages": remarks})
            await events_store.append(tx, task_id, task.stage, [("log", {"level": "info", "message": f"{by}: {text}"})])
        return task

    async def _when_ended(self, task_id: str, by: str) -> Task:
        deadline = asyncio.get_running_loop().time() + CANCEL_WAIT_S
        while True:
            task = await self.get(task_id, by)
            if task.status.is_final or asyncio.get_running_loop().time() > deadline:
                return task
            await asyncio.sleep(0.1)


def with_changes(task: Task, changes: Json, asked: int) -> Json:
    """The task's request with what is given, and after how many questions a new budget was: what was granted before is part of it."""
    given, used = _given(changes), Used.of(task.cost)
    kinds = {"cost_budget_usd": "cost_usd", "time_budget_s": "time_s"}
    for name, kind in kinds.items():
        if name in given and given[name] <= used.amount(kind):
            raise InvalidRequestError(
                f"The task has used {used.amount(kind):g} already: {name} {given[name]:g} would leave nothing.",
                f"Give more than that as {name}; it counts for the whole task.",
                code="budget_too_small",
            )
    new = {kind: asked for name, kind in kinds.items() if name in given}
    request = {**task.request, **given}
    return {**request, "budget_set_after": {**request.get("budget_set_after", {}), **new}} if new else request


def _given(changes: Json) -> Json:
    return {name: value for name, value in changes.items() if value is not None}


def _nobody_works(run: Run) -> bool:
    return run.state != "running" or is_gone(run.worker_host, run.worker)


def _owned(task: Task | None, task_id: str, user_id: str) -> Task:
    if task is None or task.user_id != user_id:
        raise NotFoundError(f"There is no task {task_id}.", "`persevere tasks list` shows yours.", code="task_not_found")
    return task


def _already_ended(task: Task) -> ConflictError:
    return ConflictError(f"{task.id} has already ended: {task.status.value}.", "There is nothing to stop or to tell.", code="task_ended")
