"""Projects and the repositories that are known."""

from __future__ import annotations

from fastapi import APIRouter, Request
from starlette.responses import Response

from agent_orchestrator.dependencies import Given, Paged
from agent_orchestrator.errors import BODY, problems
from agent_orchestrator.idempotency import Keyed
from agent_orchestrator.projects import service
from agent_orchestrator.projects.schemas import ProjectChange, ProjectList, ProjectRequest, ProjectView, RepositoryList
from agent_orchestrator.tasks.schemas import TaskList, TaskView
from shared.store import projects, tasks
from shared.types import utcnow

router = APIRouter(tags=["projects"])


@router.get("/projects", response_model=ProjectList, responses=problems(422))
async def list_projects(given: Given, paged: Paged) -> ProjectList:
    """Your projects, newest first."""
    async with given.resources.database.connection() as tx:
        found, cursor = await projects.list_(tx, given.user_id, limit=paged.limit, cursor=paged.cursor)
    return ProjectList(items=[ProjectView.of(item) for item in found], next_cursor=cursor)


@router.post("/projects", response_model=ProjectView, status_code=201, responses=problems(409, *BODY))
async def create_project(request: Request, body: ProjectRequest, given: Given) -> Response:
    """A name for a repository."""
    keyed = Keyed(request, given, 201)
    await keyed.check()
    project = await service.prepare(given, body)
    async with keyed.transaction() as tx:
        await projects.insert(tx, project)
        return await keyed.keep(tx, ProjectView.of(project))


@router.get("/projects/{project_id}", response_model=ProjectView, responses=problems(404))
async def get_project(project_id: str, given: Given) -> ProjectView:
    """One project."""
    return ProjectView.of(await service.own_project(given, project_id))


@router.patch("/projects/{project_id}", response_model=ProjectView, responses=problems(404, *BODY))
async def change_project(project_id: str, body: ProjectChange, given: Given) -> ProjectView:
    """Change what is given."""
    return ProjectView.of(await service.change(given, project_id, body))


@router.delete("/projects/{project_id}", status_code=204, responses=problems(404))
async def delete_project(project_id: str, given: Given) -> Response:
    """Forget a project. Its repository and its tasks stay."""
    await service.remove(given, project_id)
    return Response(status_code=204)


@router.get("/projects/{project_id}/tasks", response_model=TaskList, responses=problems(404, 422))
async def project_tasks(project_id: str, given: Given, paged: Paged) -> TaskList:
    """The tasks of a project, newest first."""
    await service.own_project(given, project_id)
    async with given.resources.database.connection() as tx:
        found, cursor = await tasks.list_(tx, user_id=given.user_id, project_id=project_id, limit=paged.limit, cursor=paged.cursor)
    now = utcnow()
    return TaskList(items=[TaskView.of(task, now) for task in found], next_cursor=cursor)


@router.get("/repositories", response_model=RepositoryList, responses=problems())
async def list_repositories(given: Given) -> RepositoryList:
    """The repositories of your projects and latest tasks; any folder of this machine can be named besides."""
    return RepositoryList(items=await service.known_repositories(given))
