"""Makes the change in a sandbox and keeps it as a patch."""

from __future__ import annotations

from langgraph.runtime import Runtime

from agents.coder.state import CoderState
from agents.context import OpenWorkspace, TaskContext
from agents.loop.patch import keep_patch, load_patch, patch_digest, publish_patch
from agents.loop.secrets import blocking_secrets, find_secrets, secret_in_change, secrets_of, shown_patch
from shared.approvals.policy import path_matches
from shared.errors import TaskFailedError
from shared.forge.port import Diff
from shared.recipes.port import ApplyReport, NotApplicable, NothingToDo
from shared.secrets.scan import listed
from shared.types import Json, Plan, Stage, TaskStatus, canonical_json, sha256_hex

EVENT_DIFF_LIMIT = 200_000
"""Characters of a diff that travel in an event; the whole is the artifact."""


async def apply_recipe(state: CoderState, runtime: Runtime[TaskContext]) -> CoderState:
    """Apply the plan's recipe at the base commit. Same plan, same commit: same patch."""
    context = runtime.context
    plan = Plan.model_validate(state["plan"])
    _check_approved(state)
    if plan.recipe is None:
        raise TaskFailedError("The plan names no recipe.", "Set a model and retry the task.", code="model_required")
    await context.journal.update(Stage.CODING, TaskStatus.CODING, details=f"applying the recipe {plan.recipe.name}")
    async with context.workspaces.open("code") as workspace:
        report = await context.recipes.get(plan.recipe.name).apply(plan, workspace)
        if isinstance(report, NotApplicable):
            raise TaskFailedError(report.reason, report.next_step, code=report.code)
        diff = await workspace.diff()
        _check_paths(context, workspace, diff)
    if isinstance(report, NothingToDo):
        return {"patch_sha256": None, "answer": None, "notes": [report.reason]}
    return await _keep(context, report, diff)


async def work_by_model(state: CoderState, runtime: Runtime[TaskContext]) -> CoderState:
    """A model makes the change. After a kill it goes on behind the last step that was kept; nothing of it was told as a change."""
    from agents.coder.by_model import work

    _check_approved(state)
    return await work(runtime.context, state, lambda: runtime.drain_requested)


async def look_for_secrets(state: CoderState, runtime: Runtime[TaskContext]) -> CoderState:
    context = runtime.context
    digest = state.get("patch_sha256")
    if digest is None or state.get("widened"):
        return {"secrets": None}
    patch = await load_patch(context, state["base_commit"], digest)
    secrets = await find_secrets(context, state["base_commit"], patch, digest)
    if found := secrets_of({**state, "secrets": secrets}):
        await context.journal.log(Stage.CODING, f"what looks like a secret in the change: {listed(found)}", "warning")
    return {"secrets": secrets}


async def tell_change(state: CoderState, runtime: Runtime[TaskContext]) -> CoderState:
    """A step of its own: however often the work was gone on with, its change is told once. The work's result is in the checkpoint now."""
    context = runtime.context
    assert context.steps is not None
    if widened := state.get("widened"):
        plan = state["plan"]
        event = ("plan_ready", {"plan": plan, "content_sha256": sha256_hex(canonical_json(plan))})
        details = f"the work needs more than the approved plan has: {', '.join(widened['files'])}"
        await context.journal.update(Stage.CODING, plan=plan, details=details[:1000], events=[event])
    elif state.get("answer"):
        await context.journal.log(Stage.CODING, str(state["answer"])[:4000])
    elif state.get("patch_sha256") is not None:
        await _tell_patch(context, state)
    await context.steps.forget()
    return {}


async def _tell_patch(context: TaskContext, state: CoderState) -> None:
    """The patch is shown from here on, also one that a repair left as it was; only a new one is told."""
    patch = await load_patch(context, state["base_commit"], state["patch_sha256"])
    await publish_patch(context, patch)
    if state.get("test_results"):
        return
    text = await shown_patch(context, state["base_commit"], patch, state)
    stats = state["diff_stats"]
    shown: Json = {"diff_text": text[:EVENT_DIFF_LIMIT], "truncated": len(text) > EVENT_DIFF_LIMIT, "stats": stats}
    details = "the model finished its change"
    await context.journal.update(Stage.CODING, diff_summary=stats, details=details, events=[("diff_ready", shown)])


async def _keep(context: TaskContext, report: ApplyReport, diff: Diff) -> CoderState:
    for name, data in report.artifacts.items():
        await context.journal.save_artifact(name, data)
    notes = list(report.notes)
    if diff.is_empty:
        if report.answer:
            await context.journal.save_artifact("report.md", report.answer.encode(), "text/markdown")
            await context.journal.log(Stage.CODING, report.answer[:4000])
        return {"patch_sha256": None, "answer": report.answer, "notes": notes}
    digest = patch_digest(diff.base_commit, diff.patch)
    secrets = await find_secrets(context, diff.base_commit, diff.patch, digest)
    if found := blocking_secrets({"secrets": secrets, "patch_sha256": digest}):
        raise secret_in_change(found, "The change was not kept, because it has")
    await keep_patch(context, diff.base_commit, diff.patch)
    await publish_patch(context, diff.patch)
    text = await shown_patch(context, diff.base_commit, diff.patch, {"secrets": secrets, "patch_sha256": digest})
    await context.journal.update(
        Stage.CODING,
        diff_summary=diff.stats,
        details=report.summary,
        events=[("diff_ready", {"diff_text": text[:EVENT_DIFF_LIMIT], "truncated": len(text) > EVENT_DIFF_LIMIT, "stats": diff.stats})],
    )
    return {"patch_sha256": digest, "diff_stats": diff.stats, "answer": report.answer, "notes": notes, "secrets": secrets}


def _check_approved(state: CoderState) -> None:
    """What was approved is what runs: the plan's hash is computed again right before acting."""
    approved = state.get("approved_plan_sha256")
    if approved is not None and sha256_hex(canonical_json(state["plan"])) != approved:
        raise TaskFailedError("The plan is not the one that was approved.", "Retry the task.", code="approval_mismatch")


def _check_paths(context: TaskContext, workspace: OpenWorkspace, diff: Diff) -> None:
    for path in diff.stats.get("paths", []):
        for pattern in workspace.config.never_touch:
            if path_matches(path, pattern):
                raise TaskFailedError(
                    f"The change touches {path}, which .persevere.yml says never to touch ({pattern}).",
                    "Narrow the request, or change `never_touch` on the base branch.",
                    code="protected_path",
                )
