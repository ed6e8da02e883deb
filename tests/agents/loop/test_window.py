from __future__ import annotations

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage

from agents.loop.window import KEPT, LEFT_OUT, TOKENS, Window

LONG = "word " * 4_000


def _conversation(rounds: int) -> list[AnyMessage]:
    messages: list[AnyMessage] = [HumanMessage("The approved plan: do it.")]
    for number in range(rounds):
        call = {"name": "read_file", "args": {"path": "a"}, "id": str(number)}
        messages += [AIMessage(f"step {number}", tool_calls=[call]), ToolMessage(LONG, tool_call_id=str(number))]
    return messages


def test_a_short_conversation_is_shown_whole() -> None:
    messages = _conversation(3)
    assert Window().shown(messages) == messages


def test_a_long_one_loses_the_oldest_answers_of_tools_and_never_the_plan() -> None:
    window, whole = Window(), _conversation(60)
    for rounds in (2, 10, 59, 60):
        shown = window.shown(whole[: 1 + 2 * rounds])
    left_out = [message for message in shown if message.content == LEFT_OUT]
    assert len(left_out) == 60 - KEPT
    assert [message.content for message in shown[-2 * KEPT + 1 :: 2]] == [LONG] * KEPT
    assert shown[0].content == "The approved plan: do it."
    assert [message.content for message in shown if isinstance(message, AIMessage)] == [f"step {number}" for number in range(60)]
    assert all(LONG in str(message.content) for message in whole if isinstance(message, ToolMessage)), "what is kept stays whole"


def test_messages_that_changed_are_counted_again() -> None:
    window = Window()
    window.shown(_conversation(60))
    few = _conversation(2)
    assert window.shown(few) == few
    assert window._tokens(few) < TOKENS
