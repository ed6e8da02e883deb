"""The task as a graph: the supervisor routes between the specialists and pauses at gates."""

from __future__ import annotations

from typing import Any

from langgraph.graph import END, START, StateGraph

from agent_orchestrator.supervisor import nodes, routes
from agent_orchestrator.supervisor.context import SupervisorContext
from agent_orchestrator.supervisor.state import SupervisorState
from agents.coder.graph import build_coder_graph
from agents.planner.graph import build_planner_graph
from agents.pr.graph import build_pr_graph
from agents.reviewer.graph import build_reviewer_graph
from agents.tester.graph import build_tester_graph


def build_supervisor_graph() -> StateGraph[SupervisorState, SupervisorContext, SupervisorState, SupervisorState]:
    """prepare -> planner -> [plan gate] -> coder -> tester -> (red: coder) -> reviewer -> [diff gate] -> [pr gate] -> pr -> report."""
    graph = StateGraph(SupervisorState, context_schema=SupervisorContext)
    add: Any = graph.add_node
    add("prepare", nodes.prepare)
    add("planner", build_planner_graph().compile())
    add("plan_gate", nodes.plan_gate)
    add("plan_decision", nodes.plan_decision)
    add("coder", build_coder_graph().compile())
    add("tester", build_tester_graph().compile())
    add("hand_over", nodes.hand_over)
    add("reviewer", build_reviewer_graph().compile())
    add("red_gate", nodes.red_gate)
    add("secret_gate", nodes.secret_gate)
    add("diff_gate", nodes.diff_gate)
    add("diff_decision", nodes.diff_decision)
    add("edit", nodes.apply_edit)
    add("pr_gate", nodes.pr_gate)
    add("pr_decision", nodes.pr_decision)
    add("pr", build_pr_graph().compile())
    add("report", nodes.report)
    _connect(graph)
    return graph


def _connect(graph: Any) -> None:
    graph.add_edge(START, "prepare")
    graph.add_edge("prepare", "planner")
    graph.add_conditional_edges("planner", routes.after_planner, ["plan_gate", "coder", "reviewer", "report"])
    graph.add_conditional_edges("plan_gate", routes.gate_is_open, {"wait": "plan_decision", "pass": "coder"})
    graph.add_conditional_edges("plan_decision", routes.after_plan_decision, ["coder", "edit", "planner", "plan_gate", "report"])
    graph.add_conditional_edges(
        "coder", routes.after_coder, ["plan_gate", "tester", "reviewer", "secret_gate", "red_gate", "diff_gate", "pr_gate", "report"]
    )
    graph.add_conditional_edges(
        "tester", routes.after_tester, ["coder", "hand_over", "reviewer", "red_gate", "diff_gate", "pr_gate", "report"]
    )
    graph.add_edge("hand_over", "coder")
    graph.add_conditional_edges("reviewer", routes.after_reviewer, ["coder", "diff_gate", "pr_gate", "report"])
    graph.add_edge("red_gate", "diff_decision")
    graph.add_edge("secret_gate", "diff_decision")
    graph.add_conditional_edges("diff_gate", routes.gate_is_open, {"wait": "diff_decision", "pass": "pr_gate"})
    graph.add_conditional_edges(
        "diff_decision",
        routes.after_diff_decision,
        ["tester", "edit", "planner", "coder", "secret_gate", "red_gate", "diff_gate", "pr_gate", "pr", "report"],
    )
    graph.add_conditional_edges("edit", routes.after_edit, ["plan_gate", "secret_gate", "red_gate", "diff_gate", "tester"])
    graph.add_conditional_edges("pr_gate", routes.gate_is_open, {"wait": "pr_decision", "pass": "pr"})
    graph.add_conditional_edges("pr_decision", routes.after_pr_decision, ["pr", "pr_gate", "report"])
    graph.add_edge("pr", "report")
    graph.add_edge("report", END)


def draw_supervisor() -> str:
    """The supervisor's graph as Mermaid, specialists as single boxes."""
    return build_supervisor_graph().compile().get_graph().draw_mermaid()


def draw_specialists() -> dict[str, str]:
    """Each specialist's graph as Mermaid, by name."""
    builders: dict[str, Any] = {
        "planner": build_planner_graph,
        "coder": build_coder_graph,
        "tester": build_tester_graph,
        "reviewer": build_reviewer_graph,
        "pr": build_pr_graph,
    }
    return {name: build().compile().get_graph().draw_mermaid() for name, build in builders.items()}
