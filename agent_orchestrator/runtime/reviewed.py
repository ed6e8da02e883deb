"""What a review is about, found once when its task begins: a branch, a commit or a pull request, as two commits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from agents.reviewer.changes import read_changes
from shared.errors import NotFoundError, RepositoryError
from shared.forge.port import RepositoryInfo
from shared.store import pull_requests
from shared.store.records import PullRequest, Task
from shared.types import Json

if TYPE_CHECKING:
    from agent_orchestrator.resources import Resources

RECIPE = "review_diff"
_TRUNKS = ("main", "master", "trunk", "develop")


@dataclass(frozen=True)
class _Target:
    title: str
    head: str
    base: str | None


async def find_reviewed(resources: Resources, task: Task, info: RepositoryInfo) -> Json | None:
    """What to add to the task's request: `reviewed` {title, base, head}, and the recipe with the changed lines. None: nothing is compared.

    `info` is the repository at the branch the task names. Raises `NotFoundError` or `RepositoryError` for what is not there.
    """
    stages = resources.workflows.get(task.workflow).stages
    only_reviews = "review" in stages and "pr" not in stages
    if not only_reviews or (slots := _slots(resources, task)) is None:
        return None
    target = await _target(resources, task, info, slots)
    if target is None:
        return None
    found = await resources.forge.compare(task.repo, target.head, target.base)
    lines = {path: _spans([row[1] for row in change.rows if row[0] == "+"]) for path, change in read_changes(found.diff.patch).items()}
    reviewed = {"title": target.title, "base": found.diff.base_commit, "head": found.head_commit}
    recipe = {"name": RECIPE, "slots": {**slots, "reviewed": {"title": target.title, "lines": lines}}}
    return {"reviewed": reviewed, "recipe": recipe}


def _slots(resources: Resources, task: Task) -> Json | None:
    if chosen := task.request.get("recipe"):
        return dict(chosen["slots"]) if chosen["name"] == RECIPE else None
    match = resources.recipes.parse(task.prompt)
    return match.slots if match is not None and match.recipe == RECIPE and not match.missing else None


async def _target(resources: Resources, task: Task, info: RepositoryInfo, slots: Json) -> _Target | None:
    here = task.base_branch or info.default_branch
    if "pull_request" in slots:
        pull = await _pull_request(resources, task, int(slots["pull_request"]))
        return _Target(f"pull request #{pull.number} ({pull.title})", pull.head_commit, pull.base_commit)
    if "commit" in slots:
        named = str(slots["commit"])
        return _Target(f"commit {named[:12]}" if named else f"the last commit of {here or 'HEAD'}", named or info.head_commit, None)
    if "branch" not in slots:
        return None
    branch = str(slots["branch"]) or here
    for base in dict.fromkeys((here, info.default_branch, *_TRUNKS)):
        if branch and base and base != branch and await _is_branch(resources, task.repo, base):
            return _Target(f"branch {branch} against {base}", branch, base)
    return _Target(f"the last commit of {branch or 'HEAD'}", branch or info.head_commit, None)


async def _is_branch(resources: Resources, repo: str, name: str) -> bool:
    try:
        await resources.forge.inspect(repo, name)
    except RepositoryError:
        return False
    return True


async def _pull_request(resources: Resources, task: Task, number: int) -> PullRequest:
    """The one with this number; 0: the newest that is open."""
    cursor: str | None = None
    async with resources.database.connection() as connection:
        while True:
            found, cursor = await pull_requests.list_(connection, task.repo, user_id=task.user_id, limit=100, cursor=cursor)
            for pull in found:
                if pull.number == number or (number == 0 and pull.state == "open"):
                    return pull
            if cursor is None:
                break
    what = f"pull request #{number}" if number else "open pull request"
    raise NotFoundError(
        f"There is no {what} of {task.repo}.", "Name another one, or a branch: review the diff of branch NAME.", code="no_pull_request"
    )


def _spans(numbers: list[int]) -> list[list[int]]:
    """[first, last] of each run of numbers."""
    spans: list[list[int]] = []
    for number in numbers:
        if spans and spans[-1][1] == number - 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return spans
