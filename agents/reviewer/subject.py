"""What is reviewed: the task's own change, a branch, a commit, a pull request, a pasted diff, or files as they are."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass

from agents.context import OpenWorkspace, TaskContext
from agents.loop.patch import load_patch
from agents.reviewer.state import ReviewerState
from shared.errors import RepositoryError
from shared.types import Json


@dataclass(frozen=True)
class Subject:
    """`of`: the hash of the task's change, else the commit. `patch` is empty where files are reviewed as they are."""

    title: str
    of: str
    patch: bytes = b""
    applied: bool = False
    """Whether a workspace needs the patch; a branch's is in its commit already."""


async def find_subject(context: TaskContext, state: ReviewerState) -> Subject:
    task = context.task
    assert task.base_commit is not None
    if (digest := state.get("patch_sha256")) is not None:
        patch = await load_patch(context, state["base_commit"], digest)
        return Subject("the change made for this request", digest, patch, applied=True)
    if reviewed := task.request.get("reviewed"):
        found = await context.forge.compare(task.repo, reviewed["head"], reviewed["base"])
        return Subject(str(reviewed["title"]), found.head_commit, found.diff.patch)
    arguments: Json = ((state.get("plan") or {}).get("recipe") or {}).get("arguments") or {}
    if pasted := str(arguments.get("patch") or ""):
        return Subject("the pasted diff", task.base_commit, pasted.encode(), applied=True)
    paths = [str(path) for path in arguments.get("paths") or []]
    return Subject(", ".join(paths) or "the repository as it is", task.base_commit)


@asynccontextmanager
async def open_subject(context: TaskContext, subject: Subject) -> AsyncIterator[OpenWorkspace]:
    """The reviewed files. A pasted diff of another state of the repository is read beside the files as they are."""
    patch = subject.patch if subject.applied else b""
    async with AsyncExitStack() as stack:
        try:
            workspace = await stack.enter_async_context(context.workspaces.open("review", patch))
        except RepositoryError as error:
            if error.code != "patch_does_not_apply":
                raise
            workspace = await stack.enter_async_context(context.workspaces.open("review"))
        yield workspace
