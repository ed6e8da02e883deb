"""Commits the approved patch on a branch of its own and opens the pull request: each exactly once, whatever was killed before."""

from __future__ import annotations

import tempfile
from pathlib import Path

from langgraph.runtime import Runtime

from agents.context import TaskContext
from agents.loop.patch import load_patch, patch_digest
from agents.loop.secrets import find_secrets, secret_in_change, secrets_of
from agents.pr.description import commit_message, must_be_draft, pull_request_body, title_of
from agents.pr.state import PrState
from shared.errors import ConflictError, TaskFailedError
from shared.forge.branches import branch_name
from shared.forge.port import Commit
from shared.secrets.scan import from_json, hide_in_json, hide_in_text
from shared.store.records import Task
from shared.types import Json, Plan, Stage, TaskStatus, TestResults, sha256_hex

_NAMES_TRIED = 50


async def push_branch(state: PrState, runtime: Runtime[TaskContext]) -> PrState:
    context = runtime.context
    await context.journal.update(Stage.PR_CREATION, TaskStatus.CREATING_PR, details="committing the change")
    patch, base_commit = await _approved(context, state), state["base_commit"]
    await _check_secrets(context, state, patch)
    title = hide_in_text(title_of(_plan(state), _task(context)))
    commit = Commit(
        base_commit=base_commit,
        patch=patch,
        message=hide_in_text(commit_message(title, _plan(state), _task(context))),
        branch=branch_name(context.task.id, hide_in_text(context.task.title or title)),
        timestamp=int(context.task.created_at.timestamp()),
    )
    with tempfile.TemporaryDirectory(prefix="persevere-commit-") as folder:
        git_dir = Path(folder) / "git"
        commit_id = await context.forge.commit_id(context.task.repo, commit, git_dir)
        branch = await _free_branch(context, commit.branch, commit_id)
        key = f"push:{context.task.id}:{sha256_hex(patch)}:{branch}"
        intent = {"repo": context.task.repo, "branch": branch, "commit": commit_id}
        if await context.effects.intend(key, "push", intent) is None:
            if await context.forge.branch_head(context.task.repo, branch) != commit_id:
                await context.forge.push(context.task.repo, commit_id, branch, git_dir)
            await context.effects.done(key, intent)
    return {"branch": branch, "head_commit": commit_id}


async def _approved(context: TaskContext, state: PrState) -> bytes:
    """The patch that was approved: its hash is computed again right before acting."""
    try:
        return await load_patch(context, state["base_commit"], state.get("approved_sha256"))
    except TaskFailedError as error:
        said = "The change is not the one that was approved."
        raise TaskFailedError(said, "Retry the task and decide again.", code="approval_mismatch") from error


async def _check_secrets(context: TaskContext, state: PrState, patch: bytes) -> None:
    """On the very bytes that are pushed, whatever way they came: only what a person was shown as marked, and approved, passes."""
    digest = patch_digest(state["base_commit"], patch)
    shown = secrets_of({**state, "patch_sha256": digest})
    now = from_json((await find_secrets(context, state["base_commit"], patch, digest))["found"])
    if stopping := [finding for finding in now if not finding.marked or finding not in shown]:
        raise secret_in_change(stopping, "Nothing was pushed, because the change has")


async def _free_branch(context: TaskContext, wanted: str, commit_id: str) -> str:
    """The wanted name, or with a number when an earlier try of the task left another commit there."""
    for number in range(1, _NAMES_TRIED):
        name = wanted if number == 1 else f"{wanted}-{number}"
        if await context.forge.branch_head(context.task.repo, name) in (None, commit_id):
            return name
    raise ConflictError(f"All names like {wanted} are taken.", "Delete branches of this task that are not needed any more.")


async def open_pull_request(state: PrState, runtime: Runtime[TaskContext]) -> PrState:
    context = runtime.context
    branch, head_commit = state.get("branch"), state.get("head_commit")
    if branch is None or head_commit is None:
        raise TaskFailedError("There is no branch to open a pull request from.", "Retry the task.")
    results = _results(state)
    draft = bool(state.get("draft")) or must_be_draft(results)
    plan = _plan(state)
    key = f"pull_request:{context.task.id}:{head_commit}:{branch}"
    stored = await context.effects.intend(key, "pull_request", {"repo": context.task.repo, "branch": branch, "draft": draft})
    if stored is None:
        url = await context.pull_requests.open(
            repo=context.task.repo,
            branch=branch,
            base_branch=context.task.base_branch,
            base_commit=state["base_commit"],
            head_commit=head_commit,
            title=hide_in_text(title_of(plan, _task(context))),
            body=hide_in_text(_body(state, context, results, draft)),
            draft=draft,
        )
        await context.effects.done(key, {"url": url})
    else:
        url = str(stored["url"])
    created = ("pr_created", {"pr_url": url, "branch": branch, "draft": draft})
    told = context.task.pr_url == url
    events = [] if told else [created]
    await context.journal.update(Stage.PR_CREATION, events=events, details="pull request opened", branch=branch, pr_url=url)
    return {"pr_url": url, "draft": draft}


def _body(state: PrState, context: TaskContext, results: TestResults | None, draft: bool) -> str:
    notes = hide_in_json(state.get("notes") or [])
    return pull_request_body(_plan(state), _task(context), results, draft=draft, notes=notes, review=hide_in_json(_review(state)))


def _plan(state: PrState) -> Plan:
    """For words that are published."""
    return Plan.model_validate(hide_in_json(state["plan"]))


def _task(context: TaskContext) -> Task:
    """For words that are published."""
    return context.task.model_copy(update={"title": hide_in_text(context.task.title), "prompt": hide_in_text(context.task.prompt)})


def _review(state: PrState) -> Json | None:
    """Only that of the change that is pushed."""
    review = state.get("review")
    return review if review and review.get("of") == state.get("approved_sha256") else None


def _results(state: PrState) -> TestResults | None:
    raw = state.get("test_results")
    return TestResults.model_validate(raw) if raw is not None else None
