"""Calls that are no JSON are invalid, and can be sent again all the same."""

from __future__ import annotations

from typing import Any

import pytest
from langchain_core.language_models.chat_models import generate_from_stream
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage
from langchain_core.outputs import ChatGenerationChunk

from shared.models.answers import put_right, sendable


def answered(*pieces: tuple[int, str | None, str], content: Any = "") -> AIMessage:
    """Of a stream whose pieces of calls are (index, id, arguments)."""
    chunks = [
        AIMessageChunk(
            content=content if number == 0 else "",
            tool_call_chunks=[
                {"name": "look" if id_ else None, "args": args, "id": id_, "index": index, "type": "tool_call_chunk"},
            ],
        )
        for number, (index, id_, args) in enumerate(pieces)
    ]
    result = generate_from_stream(iter([ChatGenerationChunk(message=chunk) for chunk in chunks]))
    message = put_right(result, chunks).generations[0].message
    assert isinstance(message, AIMessage)
    return message


@pytest.mark.parametrize("text", ['{"a": 1', '{"a": "half a fi', '{"a": [', '{"a": 1,', "[1]", "nonsense"])
def test_what_breaks_off_is_not_taken_for_whole(text: str) -> None:
    half = len(text) // 2
    message = answered((0, "c1", ""), (0, None, text[:half]), (1, "c2", '{"b": 2}'), (0, None, text[half:]))
    assert [call["id"] for call in message.tool_calls] == ["c2"]
    assert [(call["id"], call["name"], call["args"]) for call in message.invalid_tool_calls] == [("c1", "look", text)]


def test_whole_calls_stay() -> None:
    message = answered((0, "c1", '{"a": {"b": "}"}}'), (1, "c2", ""))
    assert [call["id"] for call in message.tool_calls] == ["c1", "c2"]
    assert message.invalid_tool_calls == []


def test_a_refusal_in_parts_is_one() -> None:
    message = answered((0, "c1", "{}"), content=[{"type": "refusal", "refusal": "I will not."}])
    assert message.additional_kwargs["refusal"] == "I will not."


def test_every_call_is_sent_with_an_object() -> None:
    asked = HumanMessage("hi")
    parts = [
        {"type": "tool_use", "id": "c1", "name": "look", "input": {}, "partial_json": "{]"},
        {"type": "function_call", "call_id": "c1", "arguments": "{]"},
        {"type": "text", "text": "so"},
    ]
    answer = answered((0, "c1", "{]"), (1, "c2", '{"b": 2}')).model_copy(update={"content": parts})
    first, sent = sendable([asked, answer])
    assert first is asked
    assert isinstance(sent, AIMessage)
    assert {call["id"]: call["args"] for call in sent.tool_calls} == {"c1": {"unreadable": "{]"}, "c2": {"b": 2}}
    assert sent.invalid_tool_calls == []
    assert sent.content == [
        {"type": "tool_use", "id": "c1", "name": "look", "input": {"unreadable": "{]"}},
        {"type": "function_call", "call_id": "c1", "arguments": '{"unreadable": "{]"}'},
        {"type": "text", "text": "so"},
    ]
    assert len(answer.invalid_tool_calls) == 1
