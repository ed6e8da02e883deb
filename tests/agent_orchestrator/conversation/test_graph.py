from __future__ import annotations

from agent_orchestrator.conversation.graph import draw_conversation


def test_the_drawing_names_every_node() -> None:
    drawn = draw_conversation()
    assert "graph TD" in drawn
    nodes = "recall recognise clarify submit status decide control answer remember"
    assert all(f"{node}({node})" in drawn for node in nodes.split())
