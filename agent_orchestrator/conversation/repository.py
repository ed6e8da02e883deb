"""Which repository a request is about, and what its `.persevere.yml` says at its head."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from agent_orchestrator.conversation.turn import ChatTurn
from shared.errors import NotFoundError, RepositoryError
from shared.forge.port import Forge, RepositoryInfo
from shared.recipes.repository_config import FILE_NAME, RepositoryConfig, parse_repository_config
from shared.store import projects
from shared.store.records import Project, Session

_CACHED = 256

Place = tuple[str, str | None]
"""A repository as a person named it, and a branch of it (None: the one that is checked out)."""


@dataclass(frozen=True)
class Found:
    """A repository and what its `.persevere.yml` says (None: it cannot be read)."""

    repository: RepositoryInfo
    config: RepositoryConfig | None


class NotLookedAtError(Exception):
    """The turn needs a repository that nobody looked at yet: look, then begin the turn again."""

    def __init__(self, place: Place) -> None:
        super().__init__(place[0])
        self.place = place


class RepositoryConfigs:
    """Configurations by repository and head commit: a commit's file never changes."""

    def __init__(self) -> None:
        self._known: OrderedDict[tuple[str, str], RepositoryConfig | None] = OrderedDict()

    async def read(self, forge: Forge, repository: RepositoryInfo) -> RepositoryConfig | None:
        """None when the file cannot be read: the task says which line is wrong when it is planned."""
        key = (repository.repo, repository.head_commit)
        if key not in self._known:
            data = await forge.read_file(repository.repo, repository.head_commit, FILE_NAME)
            try:
                self._known[key] = parse_repository_config(data)
            except RepositoryError:
                self._known[key] = None
            if len(self._known) > _CACHED:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        return self._known[key]


class Places:
    """The repositories of one turn. They are looked at outside its transaction: git may take its time, a held lock may not."""

    def __init__(self, forge: Forge, configs: RepositoryConfigs) -> None:
        self._forge = forge
        self._configs = configs
        self._seen: dict[Place, Found | RepositoryError] = {}

    async def look(self, place: Place) -> None:
        """Find out about a place; what makes it unusable is told when it is asked for."""
        try:
            repository = await self._forge.inspect(*place)
            self._seen[place] = Found(repository, await self._configs.read(self._forge, repository))
        except RepositoryError as error:
            self._seen[place] = error

    def get(self, place: Place) -> Found:
        """What was found. `RepositoryError` when it cannot be used, `NotLookedAtError` when nobody looked."""
        found = self._seen.get(place)
        if found is None:
            raise NotLookedAtError(place)
        if isinstance(found, RepositoryError):
            raise found
        return found


def named_place(request: ChatTurn) -> Place | None:
    """The repository that the request itself names."""
    named = _text(request, "repo") or _text(request, "workspace_path")
    return (named, _text(request, "branch")) if named else None


async def own_project(tx: AsyncConnection, request: ChatTurn) -> Project | None:
    """The project the request names. `NotFoundError` when it is not the caller's."""
    project_id = _text(request, "project_id")
    if project_id is None:
        return None
    project = await projects.get(tx, project_id)
    if project is None or project.user_id != request.user_id:
        raise NotFoundError(f"There is no project {project_id}.", "List your projects and choose one.")
    return project


async def find_repository(tx: AsyncConnection, request: ChatTurn, session: Session) -> Place | None:
    """`(repository, branch)` as a person named them last: in the request, in the session, where the service runs, or the only project."""
    branch = _text(request, "branch")
    if named := named_place(request):
        return named
    if project := await own_project(tx, request):
        return project.repo, branch or project.default_branch
    if remembered := session.context.get("repo"):
        return str(remembered), branch or session.context.get("branch")
    if session.project_id and (project := await projects.get(tx, session.project_id)):
        return project.repo, branch or project.default_branch
    if request.default_repo:
        return request.default_repo, branch
    known, _ = await projects.list_(tx, request.user_id, limit=2)
    return (known[0].repo, branch or known[0].default_branch) if len(known) == 1 else None


async def named_by_answer(tx: AsyncConnection, user_id: str, answer: str) -> str:
    """The repository an answer names: a project's name, or a path or `owner/name` as it stands."""
    name = answer.strip().strip("`'\". ")
    for lead in ("it's ", "its ", "it is ", "use ", "in ", "the repository ", "repository ", "the project ", "project ", "for "):
        if name.lower().startswith(lead):
            name = name[len(lead) :].strip("`'\" ")
    known, _ = await projects.list_(tx, user_id, limit=100)
    for project in known:
        if name.lower() in (project.name.lower(), project.repo.lower(), project.repo.rsplit("/", 1)[-1].lower()):
            return project.repo
    return name


def _text(request: ChatTurn, name: str) -> str | None:
    value = request.context.get(name)
    return value.strip() or None if isinstance(value, str) else None
