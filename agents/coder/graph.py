"""The coder's graph."""

from __future__ import annotations

from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime

from agents.coder.nodes import apply_recipe, look_for_secrets, tell_change, work_by_model
from agents.coder.state import CoderState
from agents.context import TaskContext
from agents.loop.secrets import blocking_secrets
from shared.types import canonical_json, sha256_hex


def build_coder_graph() -> StateGraph[CoderState, TaskContext, CoderState, CoderState]:
    """apply_recipe; or, for a plan that a model made or goes on with: work_by_model -> look_for_secrets -> (once more, or) tell_change."""
    graph = StateGraph(CoderState, context_schema=TaskContext)
    graph.add_node("apply_recipe", apply_recipe)
    graph.add_node("work_by_model", work_by_model)
    graph.add_node("look_for_secrets", look_for_secrets)
    graph.add_node("tell_change", tell_change)
    graph.add_conditional_edges(START, _maker, ["apply_recipe", "work_by_model"])
    graph.add_edge("apply_recipe", END)
    graph.add_edge("work_by_model", "look_for_secrets")
    graph.add_conditional_edges("look_for_secrets", _once_more, ["work_by_model", "tell_change"])
    graph.add_edge("tell_change", END)
    return graph


def _once_more(state: CoderState, runtime: Runtime[TaskContext]) -> str:
    """What looks like a secret goes back to the model once, within the limit of repairs; then a person is asked."""
    left = state.get("secret_rounds", 0) < 1 and state.get("repairs", 0) < int(runtime.context.limits.get("repairs", 1))
    return "work_by_model" if left and blocking_secrets(state) else "tell_change"


def _maker(state: CoderState, runtime: Runtime[TaskContext]) -> str:
    plan = state["plan"]
    for_model = plan.get("recipe") is None or state.get("handed_over") == sha256_hex(canonical_json(plan))
    return "work_by_model" if for_model and runtime.context.models is not None else "apply_recipe"
