"""The planner's graph."""

from __future__ import annotations

from langgraph.graph import END, START, StateGraph

from agents.context import TaskContext
from agents.planner.nodes import plan_by_model, plan_by_recipe, tell_plan
from agents.planner.state import PlannerState


def build_planner_graph() -> StateGraph[PlannerState, TaskContext, PlannerState, PlannerState]:
    """plan_by_recipe -> (none fits, and there is a model: plan_by_model -> tell_plan)."""
    graph = StateGraph(PlannerState, context_schema=TaskContext)
    graph.add_node("plan_by_recipe", plan_by_recipe)
    graph.add_edge(START, "plan_by_recipe")
    graph.add_node("plan_by_model", plan_by_model)
    graph.add_node("tell_plan", tell_plan)
    graph.add_conditional_edges("plan_by_recipe", _after_recipe, ["plan_by_model", END])
    graph.add_edge("plan_by_model", "tell_plan")
    graph.add_edge("tell_plan", END)
    return graph


def _after_recipe(state: PlannerState) -> str:
    return "plan_by_model" if state.get("by_model") else END
