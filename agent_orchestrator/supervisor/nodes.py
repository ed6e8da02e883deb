"""The supervisor's own nodes: preparing, asking, waiting, reporting. A node that waits does nothing else."""

from __future__ import annotations

from typing import Literal

from langgraph.runtime import Runtime
from langgraph.types import interrupt

from agent_orchestrator.supervisor.context import SupervisorContext
from agent_orchestrator.supervisor.risk import diff_risk, plan_risk
from agent_orchestrator.supervisor.routes import blockers, current_review, is_command, needs_draft
from agent_orchestrator.supervisor.state import SupervisorState
from agents.loop.patch import forget_patches, keep_patch, load_patch, publish_patch
from agents.loop.secrets import blocking_secrets, find_secrets, secrets_of, shown_patch
from shared.errors import RepositoryError, TaskFailedError
from shared.secrets.scan import as_json, listed
from shared.types import Gate, Json, Plan, Risk, RiskLevel, Stage, TaskStatus, canonical_json, sha256_hex, utcnow

SHOWN_DIFF = 200_000


async def prepare(state: SupervisorState, runtime: Runtime[SupervisorContext]) -> SupervisorState:
    """Everything starts from the commit that was recorded when the run began."""
    task = runtime.context.task
    assert task.base_commit is not None
    await runtime.context.journal.log(Stage.CLONING, f"working from {task.base_commit[:12]} of {task.base_branch or 'a detached head'}")
    return {"base_commit": task.base_commit, "revisions": {}, "rejected": [], "feedback": None}


async def plan_gate(state: SupervisorState, runtime: Runtime[SupervisorContext]) -> SupervisorState:
    plan = state["plan"]
    assert plan is not None
    digest = sha256_hex(canonical_json(plan))
    _refuse_rejected(state, digest, "plan")
    gate = Gate.COMMAND if is_command(state) else Gate.PLAN
    revisions = _next_revision(state, gate)
    widened = state.get("widened")
    risk = plan_risk(state, runtime.context)
    opened = await runtime.context.gates.pass_or_ask(
        gate,
        revision=revisions[gate.value],
        title=_wider_title(widened) if widened else _plan_title(plan, gate),
        subject=plan,
        content_sha256=digest,
        risk=risk,
        approvers=[],
        status=TaskStatus.PLAN_REVIEW,
        always=bool(widened or plan.get("open_questions")),
    )
    return {"gate": opened, "revisions": revisions, "approved_plan_sha256": None, "widened": None, "risk": risk.model_dump(mode="json")}


def _plan_title(plan: Json, gate: Gate) -> str:
    return f"{'Run this command' if gate is Gate.COMMAND else 'Go ahead with this plan'}? {plan['summary']}"


def _wider_title(widened: Json) -> str:
    files = ", ".join(widened["files"][:5]) + (", ..." if len(widened["files"]) > 5 else "")
    return f"The work needs more than the approved plan has: {files}. Go on? {widened['reason'][:300]}"


async def plan_decision(state: SupervisorState) -> SupervisorState:
    return _taken(state, interrupt(state["gate"]), "approved_plan_sha256")


async def hand_over(state: SupervisorState, runtime: Runtime[SupervisorContext]) -> SupervisorState:
    """Tests are red after a recipe's change: a model goes on with it, within the files that were approved and changed."""
    assert runtime.context.models is not None
    await runtime.context.journal.log(
        Stage.CODING, f"the tests are red after the recipe's change; {runtime.context.models.name} goes on with it"
    )
    return {"handed_over": sha256_hex(canonical_json(state["plan"]))}


async def diff_gate(state: SupervisorState, runtime: Runtime[SupervisorContext]) -> SupervisorState:
    title, raised = "Open a pull request with this change?", None
    if number := blockers(state):
        found = f"the review found {number} blocker{'' if number == 1 else 's'}"
        title, raised = f"{title} {found[0].upper()}{found[1:]}.", Risk(level=RiskLevel.HIGH, score=0.8, reasons=[found])
    return await _ask_about_diff(state, runtime, title, TaskStatus.DIFF_REVIEW, raised)


async def red_gate(state: SupervisorState, runtime: Runtime[SupervisorContext]) -> SupervisorState:
    """Red tests never pass quietly: a person opens a draft all the same, gives a hint, or drops it."""
    newly = (state.get("test_results") or {}).get("newly_failing", [])
    count = f"{len(newly)} test{'' if len(newly) == 1 else 's'}" if newly else "some tests"
    title = (
        f"The change makes {count} fail. Approve: open a draft all the same. Respond: try again with your hint. "
        "Take over: the branch is yours, without a pull request. Reject: drop it."
    )
    raised = Risk(level=RiskLevel.HIGH, score=0.9, reasons=["tests are red because of this change"])
    return await _ask_about_diff(state, runtime, title, TaskStatus.WAITING, raised)


async def secret_gate(state: SupervisorState, runtime: Runtime[SupervisorContext]) -> SupervisorState:
    """What looks like a secret is never pushed: it is taken out, marked as none, or the change is dropped. Approving it is refused."""
    found = listed(blocking_secrets(state), 3)
    title = (
        f"The change has what looks like a secret ({found}) and cannot be pushed like this. Respond: try again with your hint. "
        "Edit: take it out, or mark its line with `pragma: allowlist secret`. Reject: drop it."
    )
    raised = Risk(level=RiskLevel.CRITICAL, score=1.0, reasons=["the change has what looks like a secret"])
    return await _ask_about_diff(state, runtime, title, TaskStatus.WAITING, raised)


async def _ask_about_diff(
    state: SupervisorState, runtime: Runtime[SupervisorContext], title: str, status: TaskStatus, raised: Risk | None
) -> SupervisorState:
    digest = state["patch_sha256"]
    assert digest is not None
    _refuse_rejected(state, digest, "change")
    problem = state.get("edit_problem")
    risk, approvers = diff_risk(state, runtime.context, raised)
    revisions = _next_revision(state, Gate.DIFF)
    opened = await runtime.context.gates.pass_or_ask(
        Gate.DIFF,
        revision=revisions[Gate.DIFF.value],
        title=f"{problem} {title}" if problem else title,
        subject=await _diff_subject(state, runtime.context),
        content_sha256=digest,
        risk=risk,
        approvers=approvers,
        status=status,
        always=raised is not None or bool(problem or secrets_of(state)),
    )
    return {"gate": opened, "revisions": revisions, "approved_sha256": None, "diff_risk": risk.model_dump(mode="json")}


async def diff_decision(state: SupervisorState, runtime: Runtime[SupervisorContext]) -> SupervisorState:
    return _taken(state, interrupt(state["gate"]), "approved_sha256")


async def apply_edit(state: SupervisorState, runtime: Runtime[SupervisorContext]) -> SupervisorState:
    """Keep what a person edited instead of what was asked about; it is tested and asked about again. A useless patch changes nothing."""
    edited = await runtime.context.gates.edited((state["decision"] or {})["approval_id"])
    if "plan" in edited:
        plan = Plan.model_validate(edited["plan"])
        chosen = plan.model_dump(mode="json")
        return {"plan": chosen, "rejected": _without(state, sha256_hex(canonical_json(chosen)))}
    try:
        async with runtime.context.workspaces.open("edit", str(edited["patch"]).encode()) as workspace:
            diff = await workspace.diff()
    except RepositoryError as error:
        if error.code != "patch_does_not_apply":
            raise
        return await _not_edited(runtime.context, f"{error.message.rstrip('.')}. {error.next_step}")
    if not diff.patch.strip():
        return await _not_edited(runtime.context, "It changes nothing.")
    digest = await keep_patch(runtime.context, diff.base_commit, diff.patch)
    await publish_patch(runtime.context, diff.patch)
    secrets = await find_secrets(runtime.context, diff.base_commit, diff.patch, digest)
    text = await shown_patch(runtime.context, diff.base_commit, diff.patch, {"secrets": secrets, "patch_sha256": digest})
    event = ("diff_ready", {"diff_text": text[:SHOWN_DIFF], "stats": diff.stats})
    await runtime.context.journal.update(Stage.CODING, details="the change was edited by a person", diff_summary=diff.stats, events=[event])
    rejected = _without(state, digest)
    return {"patch_sha256": digest, "diff_stats": diff.stats, "test_results": None, "secrets": secrets, "rejected": rejected}


async def _not_edited(context: SupervisorContext, why: str) -> SupervisorState:
    """The change stays as it was, and is asked about again with what was wrong."""
    problem = f"The edited patch cannot be used, the change is as it was before: {why}"
    await context.journal.log(Stage.REVIEW, problem, "warning")
    return {"edit_problem": problem, "feedback": None}


def _without(state: SupervisorState, digest: str) -> list[str]:
    """What was turned down, but for what a person now chose themselves."""
    return [rejected for rejected in state.get("rejected", []) if rejected != digest]


async def pr_gate(state: SupervisorState, runtime: Runtime[SupervisorContext]) -> SupervisorState:
    """A high risk is asked about once more, with everything known."""
    digest = state["patch_sha256"]
    assert digest is not None
    draft = needs_draft(state)
    if state.get("approved_sha256") is None:
        state = {**state, "approved_sha256": digest}
    if "pr" not in runtime.context.workflow.gates:
        return {"gate": None, "draft": draft, "approved_sha256": state["approved_sha256"]}
    revisions = _next_revision(state, Gate.PR)
    opened = await runtime.context.gates.pass_or_ask(
        Gate.PR,
        revision=revisions[Gate.PR.value],
        title=f"Push the branch and open the {'draft ' if draft else ''}pull request?",
        subject=await _diff_subject(state, runtime.context),
        content_sha256=digest,
        risk=Risk.model_validate(state.get("diff_risk") or state["risk"]),
        approvers=[],
        status=TaskStatus.DIFF_REVIEW,
    )
    return {"gate": opened, "revisions": revisions, "draft": draft, "approved_sha256": state["approved_sha256"]}


async def pr_decision(state: SupervisorState) -> SupervisorState:
    return _taken(state, interrupt(state["gate"]), "approved_sha256")


async def report(state: SupervisorState, runtime: Runtime[SupervisorContext]) -> SupervisorState:
    """Say how it ended, in the row and as the last event."""
    status, outcome = ending(state)
    fields: Json = {"outcome": outcome, "finished_at": utcnow(), "waiting_for": None}
    done: Json = {
        "final_status": status.value,
        "outcome": outcome,
        "pr_url": state.get("pr_url"),
        "branch": state.get("branch"),
        "draft": bool(state.get("draft")) if state.get("pr_url") else False,
        "answer": state.get("answer"),
        "notes": state.get("notes") or [],
        "error": None,
    }
    if state.get("branch_only") and (branch := state.get("branch")):
        fields["branch"] = branch
        done["notes"] = [f"The work is on the branch {branch}, without a pull request: it is yours.", *done["notes"]]
    if state.get("nothing_to_do"):
        done["notes"] = [state["nothing_to_do"], *done["notes"]]
    await forget_patches(runtime.context)
    await runtime.context.journal.update(
        Stage.REPORT, status, details=outcome.replace("_", " "), events=[("task_completed", done)], **fields
    )
    return {"gate": None}


def ending(state: SupervisorState) -> tuple[TaskStatus, str]:
    """How a task ended: its status and its outcome."""
    decision = state.get("decision") or {}
    if decision.get("decision") == "reject":
        return TaskStatus.CANCELLED, "rejected"
    if state.get("branch_only"):
        return TaskStatus.COMPLETED, "taken_over"
    if state.get("pr_url"):
        return TaskStatus.COMPLETED, "draft_pull_request" if state.get("draft") else "pull_request"
    if state.get("answer"):
        return TaskStatus.COMPLETED, "answered"
    if state.get("test_results"):
        return TaskStatus.COMPLETED, "tests_run"
    return TaskStatus.COMPLETED, "nothing_to_change"


def _taken(state: SupervisorState, decision: Json, approved_key: Literal["approved_plan_sha256", "approved_sha256"]) -> SupervisorState:
    """What a decision changes. An approval is worth only for the hash that was asked about."""
    gate = state["gate"] or {}
    update: SupervisorState = {"decision": {**decision, "gate": gate.get("gate"), "approval_id": gate.get("approval_id")}, "gate": None}
    if decision["decision"] != "expired":
        update["edit_problem"] = None
    if decision["decision"] in ("approve", "take_over"):
        if decision["content_sha256"] != gate.get("content_sha256"):
            raise TaskFailedError("The approval is for another content.", "Retry the task.", code="approval_mismatch")
        update[approved_key] = decision["content_sha256"]
        update["branch_only"] = decision["decision"] == "take_over"
        return update
    if decision["decision"] == "expired":
        return update
    if decision["decision"] != "edit":
        update["rejected"] = [*state.get("rejected", []), str(gate.get("content_sha256"))]
    # An edited plan is gone on with, and so is a comment that was not followed yet.
    kept = state.get("feedback") if decision["decision"] == "edit" else None
    update["feedback"] = decision.get("comment") or kept
    return update


def _refuse_rejected(state: SupervisorState, digest: str, what: str) -> None:
    if digest in state.get("rejected", []):
        raise TaskFailedError(
            f"The same {what} came out again although it was turned down, so there is nothing new to decide.",
            "Send a new request that says what should be different."
            + (" `persevere tasks diff TASK` prints the change, for you to go on with." if what == "change" else ""),
            code="same_content_again",
        )


def _next_revision(state: SupervisorState, gate: Gate) -> dict[str, int]:
    revisions = dict(state.get("revisions", {}))
    revisions[gate.value] = revisions.get(gate.value, 0) + 1
    return revisions


async def _diff_subject(state: SupervisorState, context: SupervisorContext) -> Json:
    patch = await load_patch(context, state["base_commit"], state["patch_sha256"])
    text = await shown_patch(context, state["base_commit"], patch, state)
    return {
        "base_commit": state["base_commit"],
        "diff_text": text[:SHOWN_DIFF],
        "truncated": len(text) > SHOWN_DIFF,
        "stats": state.get("diff_stats", {}),
        "test_results": state.get("test_results"),
        "review": current_review(state),
        "secrets": as_json(secrets_of(state)),
        "notes": state.get("notes") or [],
    }
