"""The planner's graph."""

from __future__ import annotations

from langgraph.graph import END, START, StateGraph

from agents.context import TaskContext
from agents.planner.nodes import plan_by_recipe
from agents.planner.state import PlannerState


def build_planner_graph() -> StateGraph[PlannerState, TaskContext, PlannerState, PlannerState]:
    graph = StateGraph(PlannerState, context_schema=TaskContext)
    graph.add_node("plan_by_recipe", plan_by_recipe)
    graph.add_edge(START, "plan_by_recipe")
    graph.add_edge("plan_by_recipe", END)
    return graph
