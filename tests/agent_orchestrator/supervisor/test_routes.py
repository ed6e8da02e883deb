"""Routing is a pure function of the state: a table."""

from __future__ import annotations

from typing import Any, cast

import pytest
from langgraph.runtime import Runtime

from agent_orchestrator.supervisor import routes
from agent_orchestrator.supervisor.context import SupervisorContext
from agent_orchestrator.supervisor.nodes import ending
from agent_orchestrator.supervisor.state import SupervisorState
from shared.types import TaskStatus
from workflows.loader import Workflow, load_workflows

RED: SupervisorState = {"patch_sha256": "x", "test_results": {"verdict": "failed", "newly_failing": ["t"], "failing_before": []}}
GREEN: SupervisorState = {"patch_sha256": "x", "test_results": {"verdict": "passed"}}
OLD_RED: SupervisorState = {"patch_sha256": "x", "test_results": {"verdict": "failed", "newly_failing": [], "failing_before": ["t"]}}


class _Facts:
    """The two facts of the context that routes look at."""

    def __init__(self, workflow: Workflow, isolated: bool) -> None:
        self.workflow, self.isolated = workflow, isolated


def _runtime(workflow: str = "refactor", isolated: bool = True) -> Runtime[SupervisorContext]:
    return Runtime(context=cast(Any, _Facts(load_workflows().get(workflow), isolated)))


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
        ({"plan": _plan()}, "red_gate"),
    ],
    ids=["first", "second", "limit", "a person's edit", "an edited plan", "recipe"],
)
def test_red_tests_go_back_to_the_model_as_often_as_the_workflow_says(more: dict[str, Any], target: str) -> None:
    assert routes.after_tester(_by_model(RED, **more), _runtime()) == target


def test_a_model_s_change_that_is_green_or_was_red_before_is_asked_about() -> None:
    assert routes.after_tester(_by_model(GREEN), _runtime()) == "diff_gate"
    assert routes.after_tester(_by_model(OLD_RED), _runtime()) == "diff_gate"


def test_where_a_model_s_work_goes_next() -> None:
    done = cast(SupervisorState, {"patch_sha256": "x", "test_results": None})
    assert routes.after_coder(_by_model(done), _runtime()) == "tester"
    assert routes.after_coder(_by_model(RED), _runtime()) == "red_gate"
    assert routes.after_coder(_by_model({"patch_sha256": None}, widened={"files": ["a"], "reason": "r"}), _runtime()) == "plan_gate"
    assert routes.after_coder(_by_model({"patch_sha256": None, "answer": "so"}), _runtime("investigation")) == "report"


def test_a_comment_on_a_diff_goes_to_who_made_it() -> None:
    decided = cast(SupervisorState, {"patch_sha256": "x", "decision": {"decision": "respond", "gate": "diff"}})
    assert routes.after_diff_decision(_by_model(decided), _runtime()) == "coder"
    assert routes.after_diff_decision({**decided, "plan": _plan()}, _runtime()) == "planner"
