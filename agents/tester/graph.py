"""The tester's graph."""

from __future__ import annotations

from langgraph.graph import END, START, StateGraph

from agents.context import TaskContext
from agents.tester.nodes import detect_tests, judge, needs_base, prepare_environment, run_base, run_change
from agents.tester.state import TesterState


def build_tester_graph() -> StateGraph[TesterState, TaskContext, TesterState, TesterState]:
    """detect -> prepare_environment -> run_change -> (not green: run_base) -> judge."""
    graph = StateGraph(TesterState, context_schema=TaskContext)
    graph.add_node("detect", detect_tests)
    graph.add_node("prepare_environment", prepare_environment)
    graph.add_node("run_change", run_change)
    graph.add_node("run_base", run_base)
    graph.add_node("judge", judge)
    graph.add_edge(START, "detect")
    graph.add_conditional_edges("detect", _after_detect, ["prepare_environment", "judge"])
    graph.add_edge("prepare_environment", "run_change")
    graph.add_conditional_edges("run_change", _after_change, ["run_base", "judge"])
    graph.add_edge("run_base", "judge")
    graph.add_edge("judge", END)
    return graph


def _after_detect(state: TesterState) -> str:
    return "judge" if state.get("test_setup") is None else "prepare_environment"


def _after_change(state: TesterState) -> str:
    return "run_base" if needs_base(state) else "judge"
