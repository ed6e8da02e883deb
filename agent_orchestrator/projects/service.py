"""Projects: a name for a repository and what goes with it."""

from __future__ import annotations

from agent_orchestrator.dependencies import Services
from agent_orchestrator.projects.schemas import ProjectChange, ProjectRequest, RepositoryView
from agent_orchestrator.runtime.budgets import look_again
from shared.errors import InvalidRequestError, NotFoundError
from shared.store import projects, tasks
from shared.store.records import Project
from shared.types import new_id

_RECENT_TASKS = 200


async def own_project(given: Services, project_id: str) -> Project:
    """The caller's project; `NotFoundError` for another person's, as for none."""
    async with given.resources.database.connection() as tx:
        project = await projects.get(tx, project_id)
    if project is None or project.user_id != given.user_id:
        raise NotFoundError(f"There is no project {project_id}.", "GET /projects lists yours.", code="project_not_found")
    return project


async def prepare(given: Services, wanted: ProjectRequest) -> Project:
    """The project to be stored. `RepositoryError` when the repository cannot be used."""
    repository = await given.resources.forge.inspect(wanted.repo, wanted.default_branch)
    return Project(
        id=new_id("project"),
        user_id=given.user_id,
        name=wanted.name,
        repo=repository.repo,
        default_branch=wanted.default_branch,
        settings=wanted.settings,
        budget=wanted.budget.model_dump(exclude_none=True) if wanted.budget is not None else None,
    )


async def change(given: Services, project_id: str, wanted: ProjectChange) -> Project:
    project = await own_project(given, project_id)
    fields = wanted.model_dump(exclude_unset=True)
    if wanted.budget is not None:
        fields["budget"] = wanted.budget.model_dump(exclude_none=True)
    for name in ("name", "settings"):
        if name in fields and fields[name] is None:
            raise InvalidRequestError(f"{name} cannot be null.", "Leave it out to keep it.")
    if not fields:
        return project
    if fields.get("default_branch"):
        await given.resources.forge.inspect(project.repo, fields["default_branch"])
    async with given.resources.database.transaction() as tx:
        changed = await projects.update(tx, project_id, **fields)
        if "budget" in fields:
            await look_again(tx, given.resources.jobs, {"owner": "project", "owner_id": project_id})
    return changed


async def remove(given: Services, project_id: str) -> None:
    await own_project(given, project_id)
    async with given.resources.database.transaction() as tx:
        await projects.delete(tx, project_id)


async def known_repositories(given: Services) -> list[RepositoryView]:
    """Those of the projects, then those of the latest tasks, each once."""
    async with given.resources.database.connection() as tx:
        mine, _ = await projects.list_(tx, given.user_id, limit=_RECENT_TASKS)
        recent, _ = await tasks.list_(tx, user_id=given.user_id, limit=_RECENT_TASKS)
    found: dict[str, RepositoryView] = {}
    for project in mine:
        view = RepositoryView(repo=project.repo, name=project.name, default_branch=project.default_branch, known_from="project")
        found.setdefault(project.repo, view)
    for task in recent:
        found.setdefault(task.repo, RepositoryView(repo=task.repo, name=task.repo.rstrip("/").rpartition("/")[2], known_from="task"))
    return list(found.values())
