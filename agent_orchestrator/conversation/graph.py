"""The conversation graph. It has no checkpointer: the session's row is its state between turns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agent_orchestrator.conversation.control import control
from agent_orchestrator.conversation.decisions import decide
from agent_orchestrator.conversation.general import answer
from agent_orchestrator.conversation.memory import remember
from agent_orchestrator.conversation.recall import recall
from agent_orchestrator.conversation.recognition import recognise
from agent_orchestrator.conversation.state import Handles, Route, TurnState
from agent_orchestrator.conversation.status import status
from agent_orchestrator.conversation.submission import clarify, submit

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph

_ANSWERING = {"clarify": clarify, "submit": submit, "status": status, "decide": decide, "control": control, "answer": answer}


def build_conversation_graph() -> CompiledStateGraph[TurnState, Handles, TurnState, TurnState]:
    """`recall -> recognise -> clarify | submit | status | decide | control | answer -> remember`, compiled."""
    from langgraph.graph import END, START, StateGraph

    graph = StateGraph(TurnState, context_schema=Handles)
    graph.add_node("recall", recall)
    graph.add_node("recognise", recognise)
    graph.add_node("remember", remember)
    graph.add_edge(START, "recall")
    graph.add_edge("recall", "recognise")
    graph.add_conditional_edges("recognise", _route, list(_ANSWERING))
    for name, node in _ANSWERING.items():
        graph.add_node(name, node)
        graph.add_edge(name, "remember")
    graph.add_edge("remember", END)
    return graph.compile()


async def _route(state: TurnState) -> Route:  # a coroutine, or LangGraph gives it a thread
    return state["route"]


def draw_conversation() -> str:
    """The graph as Mermaid."""
    return str(build_conversation_graph().get_graph().draw_mermaid())
