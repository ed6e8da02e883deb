"""The coder's graph."""

from __future__ import annotations

from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime

from agents.coder.nodes import apply_recipe, tell_change, work_by_model
from agents.coder.state import CoderState
from agents.context import TaskContext
from shared.types import canonical_json, sha256_hex


def build_coder_graph() -> StateGraph[CoderState, TaskContext, CoderState, CoderState]:
    """apply_recipe; or, for a plan that a model made or goes on with: work_by_model -> tell_change."""
    graph = StateGraph(CoderState, context_schema=TaskContext)
    graph.add_node("apply_recipe", apply_recipe)
    graph.add_node("work_by_model", work_by_model)
    graph.add_node("tell_change", tell_change)
    graph.add_conditional_edges(START, _maker, ["apply_recipe", "work_by_model"])
    graph.add_edge("apply_recipe", END)
    graph.add_edge("work_by_model", "tell_change")
    graph.add_edge("tell_change", END)
    return graph


def _maker(state: CoderState, runtime: Runtime[TaskContext]) -> str:
    plan = state["plan"]
    for_model = plan.get("recipe") is None or state.get("handed_over") == sha256_hex(canonical_json(plan))
    return "work_by_model" if for_model and runtime.context.models is not None else "apply_recipe"
