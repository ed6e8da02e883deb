"""The reviewer's graph."""

from __future__ import annotations

from langgraph.graph import END, START, StateGraph

from agents.context import TaskContext
from agents.reviewer.nodes import make_review, tell_review
from agents.reviewer.state import ReviewerState


def build_reviewer_graph() -> StateGraph[ReviewerState, TaskContext, ReviewerState, ReviewerState]:
    """make_review -> tell_review."""
    graph = StateGraph(ReviewerState, context_schema=TaskContext)
    graph.add_node("make_review", make_review)
    graph.add_node("tell_review", tell_review)
    graph.add_edge(START, "make_review")
    graph.add_edge("make_review", "tell_review")
    graph.add_edge("tell_review", END)
    return graph
