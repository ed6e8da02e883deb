"""The coder's graph."""

from __future__ import annotations

from langgraph.graph import END, START, StateGraph

from agents.coder.nodes import apply_recipe
from agents.coder.state import CoderState
from agents.context import TaskContext


def build_coder_graph() -> StateGraph[CoderState, TaskContext, CoderState, CoderState]:
    graph = StateGraph(CoderState, context_schema=TaskContext)
    graph.add_node("apply_recipe", apply_recipe)
    graph.add_edge(START, "apply_recipe")
    graph.add_edge("apply_recipe", END)
    return graph
