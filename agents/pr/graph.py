"""The pull request's graph."""

from __future__ import annotations

from langgraph.graph import END, START, StateGraph

from agents.context import TaskContext
from agents.pr.nodes import open_pull_request, push_branch
from agents.pr.state import PrState


def build_pr_graph() -> StateGraph[PrState, TaskContext, PrState, PrState]:
    """Reads base_commit, plan, approved_sha256 and what is known of the change; writes branch, head_commit, pr_url, draft."""
    graph = StateGraph(PrState, context_schema=TaskContext)
    graph.add_node("push_branch", push_branch)
    graph.add_node("open_pull_request", open_pull_request)
    graph.add_edge(START, "push_branch")
    graph.add_conditional_edges("push_branch", _after_push, ["open_pull_request", END])
    graph.add_edge("open_pull_request", END)
    return graph


def _after_push(state: PrState) -> str:
    return END if state.get("branch_only") else "open_pull_request"
