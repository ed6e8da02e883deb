"""What of a change looks like a secret, as the specialists and the gates keep and tell it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agents.context import TaskContext
from shared.errors import TaskFailedError
from shared.secrets.scan import BASELINE_FILE, Finding, as_json, blocking, from_json, hide_in_patch, listed, scan_patch
from shared.types import Json

NEXT_STEP = (
    "Take the secret out (read it from the environment or a secret store). If it is none, end its line with the comment "
    "`pragma: allowlist secret`, which is shown to whoever approves, or have it in `.secrets.baseline` on the base branch."
)


async def find_secrets(context: TaskContext, base_commit: str, patch: bytes, digest: str) -> Json:
    """For the state: {of: SHA-256 of the change, found: [{path, line, kind, marked}]}."""
    return {"of": digest, "found": as_json(await scan_patch(patch, await _baseline(context, base_commit)))}


def secrets_of(state: Mapping[str, Any]) -> list[Finding]:
    """Those of the change as it is now."""
    kept = state.get("secrets") or {}
    return from_json(kept.get("found")) if kept.get("of") == state.get("patch_sha256") else []


def blocking_secrets(state: Mapping[str, Any]) -> list[Finding]:
    """Those of the change as it is now that nobody can approve."""
    return blocking(secrets_of(state))


async def shown_patch(context: TaskContext, base_commit: str, patch: bytes, state: Mapping[str, Any]) -> str:
    """The change as text for events and approvals, which travel; what stops it is hidden, and all of what was not searched to its end."""
    kept = state.get("secrets") or {}
    if kept.get("of") == state.get("patch_sha256") and not kept.get("found"):
        return patch.decode("utf-8", "replace")
    return await hide_in_patch(patch, await _baseline(context, base_commit))


def secret_in_change(findings: list[Finding], lead: str) -> TaskFailedError:
    return TaskFailedError(f"{lead} what looks like a secret: {listed(findings)}.", NEXT_STEP, code="secret_in_change")


async def _baseline(context: TaskContext, base_commit: str) -> bytes | None:
    return await context.forge.read_file(context.task.repo, base_commit, BASELINE_FILE)
