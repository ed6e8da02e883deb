"""Routing is a pure function of the state: a table."""

from __future__ import annotations

from typing import Any, cast

import pytest
from langgraph.runtime import Runtime

from agent_orchestrator.supervisor import routes
from agent_orchestrator.supervisor.context import SupervisorContext
from agent_orchestrator.supervisor.nodes import ending
from agent_orchestrator.supervisor.state import SupervisorState
from shared.types import TaskStatus, canonical_json, sha256_hex
from workflows.loader import Workflow, load_workflows

RED: SupervisorState = {"patch_sha256": "x", "test_results": {"verdict": "failed", "newly_failing": ["t"], "failing_before": []}}
GREEN: SupervisorState = {"patch_sha256": "x", "test_results": {"verdict": "passed"}}
OLD_RED: SupervisorState = {"patch_sha256": "x", "test_results": {"verdict": "failed", "newly_failing": [], "failing_before": ["t"]}}


class _Facts:
    """The facts of the context that routes look at."""

    def __init__(self, workflow: Workflow, isolated: bool, model: bool) -> None:
        self.workflow, self.isolated, self.models = workflow, isolated, "a model" if model else None


def _runtime(workflow: str = "refactor", isolated: bool = True, model: bool = False) -> Runtime[SupervisorContext]:
    return Runtime(context=cast(Any, _Facts(load_workflows().get(workflow), isolated, model)))


def _plan(recipe: str = "rename_symbol") -> dict[str, Any]:
    return {"summary": "s", "recipe": {"name": recipe, "arguments": {}}}


def test_a_plan_is_asked_about_and_nothing_to_do_is_reported() -> None:
    assert routes.after_planner({"plan": _plan()}, _runtime()) == "plan_gate"
    assert routes.after_planner({"plan": None, "nothing_to_do": "clean"}, _runtime()) == "report"


def test_a_command_is_asked_about_in_every_workflow() -> None:
    assert routes.after_planner({"plan": _plan("run_command")}, _runtime("investigation")) == "plan_gate"
    assert routes.after_planner({"plan": _plan()}, _runtime("investigation")) == "coder"


@pytest.mark.parametrize(
    ("decision", "target"),
    [
        ("approve", "coder"),
        ("reject", "report"),
        ("edit", "edit"),
        ("respond", "planner"),
        ("expired", "plan_gate"),
        ("nonsense", "report"),
    ],
)
def test_plan_decisions(decision: str, target: str) -> None:
    assert routes.after_plan_decision({"decision": {"decision": decision}}) == target


def test_no_decision_is_a_rejection() -> None:
    assert routes.after_plan_decision({}) == "report"
    assert routes.after_pr_decision({"decision": None}) == "report"


def test_tests_come_before_the_diffs_approval() -> None:
    assert routes.after_coder({"patch_sha256": "x", "plan": _plan()}, _runtime()) == "tester"
    assert routes.after_tester(GREEN, _runtime()) == "diff_gate"


def test_without_isolation_the_diff_is_approved_before_its_tests_run() -> None:
    unsafe = _runtime(isolated=False)
    assert routes.after_coder({"patch_sha256": "x", "plan": _plan()}, unsafe) == "diff_gate"
    assert routes.after_diff_decision({"decision": {"decision": "approve"}}, unsafe) == "tester"
    assert routes.after_tester({**GREEN, "approved_sha256": "x"}, unsafe) == "pr_gate"


def test_red_tests_go_to_a_person_and_old_failures_do_not() -> None:
    assert routes.after_tester(RED, _runtime()) == "red_gate"
    assert routes.after_tester(OLD_RED, _runtime()) == "diff_gate"


def test_nothing_changed_is_reported_and_a_test_run_is_run() -> None:
    assert routes.after_coder({"patch_sha256": None, "plan": _plan()}, _runtime()) == "report"
    assert routes.after_coder({"patch_sha256": None, "plan": _plan("run_tests")}, _runtime("test")) == "tester"


@pytest.mark.parametrize("verdict", ["none", "error", "timeout"])
def test_unproven_changes_become_drafts(verdict: str) -> None:
    assert routes.needs_draft({"test_results": {"verdict": verdict}})
    assert not routes.needs_draft(GREEN)
    assert not routes.needs_draft(OLD_RED)
    assert routes.needs_draft(RED)


@pytest.mark.parametrize(
    ("state", "status", "outcome"),
    [
        ({"pr_url": "u", "draft": False}, TaskStatus.COMPLETED, "pull_request"),
        ({"pr_url": "u", "draft": True}, TaskStatus.COMPLETED, "draft_pull_request"),
        ({"decision": {"decision": "reject"}}, TaskStatus.CANCELLED, "rejected"),
        ({"answer": "42"}, TaskStatus.COMPLETED, "answered"),
        ({"nothing_to_do": "clean"}, TaskStatus.COMPLETED, "nothing_to_change"),
    ],
)
def test_endings(state: SupervisorState, status: TaskStatus, outcome: str) -> None:
    assert ending(state) == (status, outcome)


def _by_model(state: SupervisorState, **more: Any) -> SupervisorState:
    return cast(SupervisorState, {**state, "plan": {"summary": "s", "recipe": None}, **more})


@pytest.mark.parametrize(
    ("more", "target"),
    [
        ({}, "coder"),
        ({"repairs": 1}, "coder"),
        ({"repairs": 2}, "red_gate"),
        ({"decision": {"decision": "edit", "gate": "diff"}}, "red_gate"),
        ({"decision": {"decision": "edit", "gate": "plan"}}, "coder"),
        ({"plan": _plan()}, "hand_over"),
        ({"plan": _plan(), "repairs": 2}, "red_gate"),
        ({"plan": _plan(), "handed_over": sha256_hex(canonical_json(_plan()))}, "coder"),
        ({"plan": _plan("run_command"), "handed_over": sha256_hex(canonical_json(_plan()))}, "hand_over"),
    ],
    ids=["first", "second", "limit", "a person's edit", "an edited plan", "recipe", "recipe, limit", "handed over", "another recipe"],
)
def test_red_tests_go_back_to_a_model_as_often_as_the_workflow_says(more: dict[str, Any], target: str) -> None:
    assert routes.after_tester(_by_model(RED, **more), _runtime(model=True)) == target
    assert routes.after_tester(_by_model(RED, **more), _runtime()) == "red_gate"


def _reviewing(gates: tuple[str, ...] = ("plan", "diff", "pr"), model: bool = True, isolated: bool = True) -> Runtime[SupervisorContext]:
    stages = ["planner", "coder", "tester", "review", "pr"]
    workflow = Workflow.model_validate({"name": "w", "title": "w", "stages": stages, "gates": list(gates)})
    return Runtime(context=cast(Any, _Facts(workflow, isolated, model)))


def _review(*severities: str, of: str = "x") -> dict[str, Any]:
    return {"of": of, "comments": [{"severity": severity} for severity in severities]}


def test_a_model_s_change_is_reviewed_before_a_person_is_asked() -> None:
    green = _by_model(GREEN)
    assert routes.after_tester(green, _reviewing()) == "reviewer"
    assert routes.after_tester(green, _reviewing(model=False)) == "diff_gate"
    assert routes.after_tester(green, _runtime(model=True)) == "diff_gate"
    assert routes.after_tester({**GREEN, "plan": _plan()}, _reviewing()) == "diff_gate"
    assert routes.after_tester(_by_model(GREEN, review=_review(of="another")), _reviewing()) == "reviewer"
    assert routes.after_tester(_by_model(GREEN, review=_review()), _reviewing()) == "diff_gate"
    assert routes.after_tester(_by_model(GREEN, decision={"decision": "edit", "gate": "diff"}), _reviewing()) == "diff_gate"
    assert routes.after_tester(_by_model(RED, repairs=2), _reviewing()) == "red_gate"


def test_in_the_plain_process_the_review_comes_with_the_first_question() -> None:
    unsafe = _reviewing(isolated=False)
    assert routes.after_coder(_by_model({"patch_sha256": "x", "test_results": None}), unsafe) == "reviewer"
    assert routes.after_reviewer(_by_model({"patch_sha256": "x"}, review=_review("note")), unsafe) == "diff_gate"
    assert routes.after_tester(_by_model(GREEN, approved_sha256="x"), unsafe) == "pr_gate"


@pytest.mark.parametrize(
    ("more", "target"),
    [
        ({"review": _review("note", "blocker")}, "coder"),
        ({"review": _review("warning")}, "diff_gate"),
        ({"review": _review("blocker"), "revised": True}, "diff_gate"),
        ({"review": _review("blocker"), "repairs": 2}, "diff_gate"),
        ({"review": _review("blocker", of="another")}, "diff_gate"),
        ({"review": _review()}, "diff_gate"),
    ],
    ids=["blocker", "warning", "again", "limit", "of another change", "nothing"],
)
def test_blockers_go_back_once_and_then_a_person_decides(more: dict[str, Any], target: str) -> None:
    assert routes.after_reviewer(_by_model(GREEN, **more), _reviewing()) == target


def test_what_a_model_left_as_it_was_is_not_tested_again() -> None:
    left = _by_model(GREEN, review=_review("blocker"), revised=True)
    assert routes.after_coder(left, _reviewing()) == "diff_gate"
    assert routes.after_coder(left, _reviewing(gates=("plan",))) == "pr_gate"


def test_a_review_is_the_result_where_nothing_is_changed() -> None:
    static = cast(SupervisorState, {"patch_sha256": None, "answer": "no findings", "plan": _plan("review_diff")})
    assert routes.after_coder(static, _runtime("code_review", model=True)) == "reviewer"
    assert routes.after_coder(static, _runtime("code_review")) == "report"
    assert routes.after_planner(_by_model({}), _runtime("code_review", model=True)) == "reviewer"
    assert routes.after_planner(_by_model({}), _runtime("investigation", model=True)) == "coder"
    assert routes.after_reviewer({"patch_sha256": None, "review": _review("blocker")}, _runtime("code_review", model=True)) == "report"


def test_who_takes_the_branch_over_gets_it_pushed() -> None:
    assert routes.after_diff_decision(_by_model(RED, decision={"decision": "take_over", "gate": "diff"}), _runtime()) == "pr"
    assert ending({"branch_only": True, "branch": "b"}) == (TaskStatus.COMPLETED, "taken_over")


def test_a_model_s_change_that_is_green_or_was_red_before_is_asked_about() -> None:
    assert routes.after_tester(_by_model(GREEN), _runtime()) == "diff_gate"
    assert routes.after_tester(_by_model(OLD_RED), _runtime()) == "diff_gate"


def test_where_a_model_s_work_goes_next() -> None:
    done = cast(SupervisorState, {"patch_sha256": "x", "test_results": None})
    assert routes.after_coder(_by_model(done), _runtime()) == "tester"
    assert routes.after_coder(_by_model(RED), _runtime()) == "red_gate"
    assert routes.after_coder(_by_model({"patch_sha256": None}, widened={"files": ["a"], "reason": "r"}), _runtime()) == "plan_gate"
    assert routes.after_coder(_by_model({"patch_sha256": None, "answer": "so"}), _runtime("investigation")) == "report"


def test_an_edit_that_could_not_be_used_goes_back_to_who_asked() -> None:
    edited = cast(SupervisorState, {"patch_sha256": "x", "decision": {"decision": "edit", "gate": "diff"}})
    useless = cast(SupervisorState, {**edited, "edit_problem": "It does not apply."})
    blocked = {"of": "x", "found": [{"path": "a", "line": 1, "kind": "k", "marked": False}]}
    assert routes.after_edit(edited, _runtime()) == "tester"
    assert routes.after_edit({**useless, **GREEN}, _runtime()) == "diff_gate"
    assert routes.after_edit({**useless, **RED}, _runtime()) == "red_gate"
    assert routes.after_edit({**useless, **RED, "secrets": {**blocked, "of": RED.get("patch_sha256")}}, _runtime()) == "secret_gate"


def test_a_comment_on_a_diff_goes_to_who_made_it() -> None:
    decided = cast(SupervisorState, {"patch_sha256": "x", "decision": {"decision": "respond", "gate": "diff"}})
    assert routes.after_diff_decision(_by_model(decided), _runtime()) == "coder"
    assert routes.after_diff_decision({**decided, "plan": _plan()}, _runtime()) == "planner"
