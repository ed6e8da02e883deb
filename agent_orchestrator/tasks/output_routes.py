"""What a task produced: plan, diff, tests, artifacts, audit."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header
from starlette.responses import JSONResponse, Response

from agent_orchestrator.dependencies import Given
from agent_orchestrator.errors import problems
from agent_orchestrator.tasks.schemas import ArtifactList, ArtifactView, AuditList, DiffView, TestsView
from shared.errors import NotFoundError
from shared.store import audit
from shared.types import Plan

router = APIRouter(tags=["tasks"])

PATCH = "change.patch"
DIFF: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/x-diff": {"schema": {"type": "string"}}}, "description": "The patch, as text or in JSON"}
}
BYTES: dict[int | str, dict[str, Any]] = {
    200: {"content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}, "description": "The bytes"}
}


@router.get("/tasks/{task_id}/plan", response_model=Plan, responses=problems(404))
async def task_plan(task_id: str, given: Given) -> Plan:
    """The plan, once there is one."""
    task = await given.tasks.get(task_id, given.user_id)
    if task.plan is None:
        raise NotFoundError(f"Task {task_id} has no plan yet.", "It comes with the event plan_ready.", code="no_plan")
    return task.plan


@router.get("/tasks/{task_id}/diff", response_model=DiffView, responses=problems(404) | DIFF)
async def task_diff(task_id: str, given: Given, accept: Annotated[str, Header()] = "") -> Response:
    """The change as a patch: text, or JSON when `Accept` names application/json."""
    task = await given.tasks.get(task_id, given.user_id)
    patch = await load_patch(given, task_id)
    if "application/json" not in accept.lower():
        return Response(patch, media_type="text/x-diff; charset=utf-8")
    view = DiffView(task_id=task_id, base_commit=task.base_commit, stats=task.diff_summary, diff_text=patch.decode("utf-8", "replace"))
    return JSONResponse(view.model_dump(mode="json"))


async def load_patch(given: Given, task_id: str) -> bytes:
    """The bytes of the task's patch. `NotFoundError` when it has none."""
    async with given.resources.database.connection() as tx:
        try:
            return await given.resources.artifacts.load(tx, task_id, PATCH)
        except NotFoundError:
            raise NotFoundError(f"Task {task_id} has no diff yet.", "It comes with the event diff_ready.", code="no_diff") from None


@router.get("/tasks/{task_id}/tests", response_model=TestsView, responses=problems(404))
async def task_tests(task_id: str, given: Given) -> TestsView:
    """What the repository's tests said; `results` is null before they ran."""
    task = await given.tasks.get(task_id, given.user_id)
    async with given.resources.database.connection() as tx:
        found = await given.resources.artifacts.list_(tx, task_id)
    return TestsView(task_id=task_id, results=task.test_results, outputs=[item.name for item in found if "test" in item.name])


@router.get("/tasks/{task_id}/artifacts", response_model=ArtifactList, responses=problems(404))
async def task_artifacts(task_id: str, given: Given) -> ArtifactList:
    """Everything that was kept."""
    await given.tasks.get(task_id, given.user_id)
    async with given.resources.database.connection() as tx:
        found = await given.resources.artifacts.list_(tx, task_id)
    return ArtifactList(items=[ArtifactView.of(item) for item in found])


@router.get("/tasks/{task_id}/artifacts/{name:path}", response_class=Response, responses=problems(404) | BYTES)
async def task_artifact(task_id: str, name: str, given: Given) -> Response:
    """The bytes of one artifact, as a download: what a repository's code wrote is never shown as a page."""
    await given.tasks.get(task_id, given.user_id)
    async with given.resources.database.connection() as tx:
        artifact = await given.resources.artifacts.get(tx, task_id, name)
        data = await given.resources.artifacts.load(tx, task_id, name)
    headers = {"Content-Disposition": "attachment", "ETag": f'"{artifact.sha256}"'}
    return Response(data, media_type=artifact.media_type, headers=headers)


@router.get("/tasks/{task_id}/audit", response_model=AuditList, responses=problems(404))
async def task_audit(task_id: str, given: Given) -> AuditList:
    """Who decided what, with the hashes that chain the entries."""
    await given.tasks.get(task_id, given.user_id)
    async with given.resources.database.connection() as tx:
        return AuditList(items=await audit.for_task(tx, task_id))
