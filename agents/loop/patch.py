"""The bytes of a change, kept under a name that holds its hash: what a checkpoint speaks of stays, whatever was made after it."""

from __future__ import annotations

from agents.context import TaskContext
from shared.errors import NotFoundError, TaskFailedError
from shared.types import sha256_hex

CHANGE = "change"
DRAFT = "draft"
PATCH = f"{CHANGE}.patch"
"""The task's change as people read it."""
_MEDIA_TYPE = "text/x-diff"


def patch_digest(base_commit: str, patch: bytes) -> str:
    """What a change is known by: SHA-256 of base commit, newline, patch."""
    return sha256_hex(base_commit.encode() + b"\n" + patch)


async def keep_patch(context: TaskContext, base_commit: str, patch: bytes, name: str = CHANGE) -> str:
    """Keep it beside the ones before; its digest. A run may end before its checkpoint, and the next one begins from an earlier patch."""
    digest = patch_digest(base_commit, patch)
    await context.journal.save_artifact(_kept_as(name, digest), patch, _MEDIA_TYPE)
    return digest


async def publish_patch(context: TaskContext, patch: bytes) -> None:
    """Show it as the task's change."""
    await context.journal.save_artifact(PATCH, patch, _MEDIA_TYPE)


async def load_patch(context: TaskContext, base_commit: str, digest: str | None, name: str = CHANGE) -> bytes:
    """The kept patch of this digest. TaskFailedError `patch_mismatch` when there is none. Earlier versions kept one by its bare name."""
    if digest is not None:
        for kept in (_kept_as(name, digest), f"{name}.patch"):
            try:
                patch = await context.journal.load_artifact(kept)
            except NotFoundError:
                continue
            if patch_digest(base_commit, patch) == digest:
                return patch
    raise TaskFailedError("The saved patch is not the one that was made.", "Retry the task.", code="patch_mismatch")


async def forget_patches(context: TaskContext) -> None:
    """At the task's end: the one that people read stays."""
    for name in (CHANGE, DRAFT):
        await context.journal.drop_artifacts(f"{name}-", ".patch")


def _kept_as(name: str, digest: str) -> str:
    return f"{name}-{digest[:16]}.patch"
