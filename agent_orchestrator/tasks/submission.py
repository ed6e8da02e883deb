"""From a structured request to a task's draft: the repository, the recipe and the kind of work."""

from __future__ import annotations

from agent_orchestrator.dependencies import Services
from agent_orchestrator.tasks.schemas import TaskRequest
from agent_orchestrator.tasks.service import TaskDraft
from shared.errors import InvalidRequestError, NotFoundError, RepositoryError, SettingsError
from shared.forge.port import RepositoryInfo
from shared.ratelimits.port import require
from shared.recipes.repository_config import FILE_NAME, RepositoryConfig, parse_repository_config
from shared.store import projects
from shared.types import Json

DEFAULT_WORKFLOW = "feature_dev"


async def prepare(given: Services, wanted: TaskRequest) -> TaskDraft:
    """Look at what is asked for. `RepositoryError`, `NotFoundError`, `TooManyRequestsError` or `InvalidRequestError`."""
    await require(given.resources.limiter, given.user_id)
    await check_model(given, wanted.model)
    if wanted.workflow is not None:
        given.resources.workflows.get(wanted.workflow)
    project_id = await _project(given, wanted)
    repository = await given.resources.forge.inspect(wanted.repo, wanted.branch)
    return await _draft(given, wanted, repository, project_id)


async def check_model(given: Services, name: str | None) -> None:
    """A model that cannot be used now is refused now, not when the task is planned."""
    if name is None:
        return
    try:
        given.resources.model_for(name, await given.resources.keys_of(given.user_id))
    except SettingsError as error:
        raise InvalidRequestError(error.message, f"{error.next_step} GET /models lists what can be used.", code="unknown_model") from error


async def _project(given: Services, wanted: TaskRequest) -> str | None:
    if wanted.project_id is None:
        return None
    async with given.resources.database.connection() as tx:
        project = await projects.get(tx, wanted.project_id)
    if project is None or project.user_id != given.user_id:
        raise NotFoundError(f"There is no project {wanted.project_id}.", "GET /projects lists yours.", code="project_not_found")
    return project.id


async def _draft(given: Services, wanted: TaskRequest, repository: RepositoryInfo, project_id: str | None) -> TaskDraft:
    match = given.resources.recipes.parse(wanted.prompt, await _config(given, repository))
    recipe = given.resources.recipes.get(match.recipe) if match is not None and not match.missing else None
    request: Json = {
        "recipe": {"name": match.recipe, "slots": match.slots} if match is not None and recipe is not None else None,
        "acceptance_criteria": wanted.acceptance_criteria,
        "time_budget_s": wanted.time_budget_s,
        "cost_budget_usd": wanted.cost_budget_usd,
        "priority": wanted.priority,
    }
    if wanted.model is not None:
        request["model"] = wanted.model
    return TaskDraft(
        user_id=given.user_id,
        prompt=wanted.prompt,
        title=wanted.title or wanted.prompt.strip().splitlines()[0][:80],
        repo=repository.repo,
        branch=wanted.branch,
        workflow=wanted.workflow or (recipe.workflow if recipe is not None else DEFAULT_WORKFLOW),
        project_id=project_id,
        request=request,
    )


async def _config(given: Services, repository: RepositoryInfo) -> RepositoryConfig | None:
    """None when the file cannot be read: the task says which line is wrong when it is planned."""
    try:
        return parse_repository_config(await given.resources.forge.read_file(repository.repo, repository.head_commit, FILE_NAME))
    except RepositoryError:
        return None
