"""Where a task goes next: a pure function of its state and its workflow."""

from __future__ import annotations

from langgraph.runtime import Runtime

from agent_orchestrator.supervisor.context import SupervisorContext
from agent_orchestrator.supervisor.state import SupervisorState
from agents.loop.secrets import blocking_secrets, secrets_of
from shared.types import Gate, Json, canonical_json, sha256_hex
from workflows.loader import Workflow

COMMAND_RECIPE = "run_command"


def after_planner(state: SupervisorState, runtime: Runtime[SupervisorContext]) -> str:
    if state.get("nothing_to_do") or not state.get("plan"):
        return "report"
    if "plan" in _workflow(runtime).gates or is_command(state):
        return "plan_gate"
    return "reviewer" if _only_reviews(runtime) and is_by_model(state) else "coder"


def gate_is_open(state: SupervisorState) -> str:
    return "wait" if state.get("gate") else "pass"


def after_plan_decision(state: SupervisorState) -> str:
    match _decision(state):
        case "approve":
            return "coder"
        case "edit":
            return "edit"
        case "respond":
            return "planner"
        case "expired":
            return "plan_gate"
        case _:
            return "report"


def after_coder(state: SupervisorState, runtime: Runtime[SupervisorContext]) -> str:
    workflow = _workflow(runtime)
    if state.get("widened"):
        return "plan_gate"
    if state.get("patch_sha256") is None:
        if runs_tests_only(state) and "tester" in workflow.stages:
            return "tester"
        return "reviewer" if _only_reviews(runtime) else "report"
    if "pr" not in workflow.stages:
        return "report"
    if blocking_secrets(state):
        return "secret_gate"
    if is_by_model(state) and state.get("test_results"):
        # It changed nothing, so what the tests said stands.
        return "red_gate" if is_red(state) else _to_diff(state, runtime)
    if "diff" in workflow.gates and _diff_first(runtime):
        return _to_diff(state, runtime)
    return "tester" if "tester" in workflow.stages else _to_diff(state, runtime)


def after_tester(state: SupervisorState, runtime: Runtime[SupervisorContext]) -> str:
    if state.get("patch_sha256") is None:
        return "report"
    if is_red(state):
        if runtime.context.models is None or not may_repair(state, _workflow(runtime)):
            return "red_gate"
        return "coder" if is_by_model(state) else "hand_over"
    return "pr_gate" if _diff_first(runtime) and state.get("approved_sha256") else _to_diff(state, runtime)


def after_reviewer(state: SupervisorState, runtime: Runtime[SupervisorContext]) -> str:
    """Its blockers go back once; then, whatever it says, a person decides."""
    if state.get("patch_sha256") is None:
        return "report"
    if blockers(state) and not state.get("revised") and may_repair(state, _workflow(runtime)):
        return "coder"
    return _to_gate(state, runtime)


def after_diff_decision(state: SupervisorState, runtime: Runtime[SupervisorContext]) -> str:
    match _decision(state):
        case "approve":
            untested = _diff_first(runtime) and state.get("test_results") is None and "tester" in _workflow(runtime).stages
            return "tester" if untested else "pr_gate"
        case "take_over":
            return "pr"
        case "edit":
            return "edit"
        case "respond":
            return "coder" if is_by_model(state) else "planner"
        case "expired":
            return _same_gate(state)
        case _:
            return "report"


def after_edit(state: SupervisorState, runtime: Runtime[SupervisorContext]) -> str:
    """An edited plan is asked about again; an edited diff is tested, then asked about again. What could not be used, at once."""
    if (state.get("decision") or {}).get("gate") in ("plan", "command"):
        return "plan_gate"
    if state.get("edit_problem"):
        return _same_gate(state)
    if blocking_secrets(state):
        return "secret_gate"
    untested = "tester" in runtime.context.workflow.stages and not _diff_first(runtime)
    return "tester" if untested else "diff_gate"


def after_pr_decision(state: SupervisorState) -> str:
    return {"approve": "pr", "expired": "pr_gate"}.get(_decision(state), "report")


def is_red(state: SupervisorState) -> bool:
    """Red because of the change: a new failure, not one the base commit has too."""
    results = state.get("test_results") or {}
    return bool(results.get("newly_failing")) or (results.get("verdict") == "failed" and not results.get("failing_before"))


def may_repair(state: SupervisorState, workflow: Workflow) -> bool:
    """A change goes back to a model so often as the workflow says; never what a person wrote themselves."""
    return not _is_edited(state) and state.get("repairs", 0) < workflow.limits.repairs


def needs_draft(state: SupervisorState) -> bool:
    """No proof that the change is right: no tests, tests that could not run, or red ones a person accepted."""
    results = state.get("test_results") or {}
    return is_red(state) or results.get("verdict") in (None, "none", "error", "timeout")


def is_by_model(state: SupervisorState) -> bool:
    """Whether a model works on the change: it made the plan, or goes on with what a recipe made."""
    plan = state.get("plan")
    return bool(plan) and (_recipe(state) is None or state.get("handed_over") == sha256_hex(canonical_json(plan)))


def current_review(state: SupervisorState) -> Json | None:
    """The review of the change as it is now, or None."""
    review = state.get("review")
    return review if review and review.get("of") == state.get("patch_sha256") else None


def blockers(state: SupervisorState) -> int:
    """How many the reviewer found in the change as it is now."""
    return sum(comment["severity"] == "blocker" for comment in (current_review(state) or {}).get("comments", []))


def is_command(state: SupervisorState) -> bool:
    return _recipe(state) == COMMAND_RECIPE


def runs_tests_only(state: SupervisorState) -> bool:
    return _recipe(state) == "run_tests"


def _recipe(state: SupervisorState) -> str | None:
    plan = state.get("plan") or {}
    return (plan.get("recipe") or {}).get("name")


def _decision(state: SupervisorState) -> str:
    return str((state.get("decision") or {}).get("decision", "reject"))


def _to_diff(state: SupervisorState, runtime: Runtime[SupervisorContext]) -> str:
    """To a person, who gets a model's change with its review."""
    wanted = "review" in _workflow(runtime).stages and runtime.context.models is not None and is_by_model(state)
    if wanted and current_review(state) is None and not _is_edited(state):
        return "reviewer"
    return _to_gate(state, runtime)


def _to_gate(state: SupervisorState, runtime: Runtime[SupervisorContext]) -> str:
    """What the change itself says is no secret, only a person may believe."""
    return "diff_gate" if "diff" in _workflow(runtime).gates or secrets_of(state) else "pr_gate"


def _same_gate(state: SupervisorState) -> str:
    """Where a change that is still the same was asked about."""
    return "secret_gate" if blocking_secrets(state) else "red_gate" if is_red(state) else "diff_gate"


def _is_edited(state: SupervisorState) -> bool:
    decision = state.get("decision") or {}
    return decision.get("decision") == "edit" and decision.get("gate") == Gate.DIFF.value


def _only_reviews(runtime: Runtime[SupervisorContext]) -> bool:
    stages = _workflow(runtime).stages
    return "review" in stages and "pr" not in stages and runtime.context.models is not None


def _diff_first(runtime: Runtime[SupervisorContext]) -> bool:
    return runtime.context.workflow.diff_gate == "before_tests" or not runtime.context.isolated


def _workflow(runtime: Runtime[SupervisorContext]) -> Workflow:
    return runtime.context.workflow
