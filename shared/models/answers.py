"""What providers' clients make of an answer, put right: calls that are no JSON, refusals that got lost, and what may be sent again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import Any

from langchain_core.messages import AIMessage, AIMessageChunk, BaseMessage, InvalidToolCall
from langchain_core.outputs import ChatResult

_RAW_LIMIT = 2_000


def put_right(result: ChatResult, chunks: Iterable[BaseMessage]) -> ChatResult:
    """`chunks`: what `result` was made of.

    langchain completes arguments that break off, and takes them for whole: half a file would be written. They are invalid calls here.
    """
    message = result.generations[0].message
    assert isinstance(message, AIMessage)
    broken = {id_: text for id_, text in _written(chunks).items() if not _is_object(text)}
    if broken:
        invalid = [
            InvalidToolCall(name=call["name"], args=broken[call["id"]], id=call["id"], error=None, type="invalid_tool_call")
            for call in message.tool_calls
            if call["id"] in broken
        ]
        message.tool_calls = [call for call in message.tool_calls if call["id"] not in broken]
        message.invalid_tool_calls = [*message.invalid_tool_calls, *invalid]
    if words := _refusal(message):
        message.additional_kwargs["refusal"] = words
    return result


def blocked(message: BaseMessage) -> str:
    """Why Google answered nothing at all, in its word; empty for anything else."""
    feedback = message.response_metadata.get("prompt_feedback") or {}
    reason = feedback.get("block_reason")
    return str(getattr(reason, "value", reason) or "")


def sendable(messages: Sequence[BaseMessage]) -> list[BaseMessage]:
    """Many servers refuse a conversation that holds arguments which are no JSON: those calls are sent with what was written as a text."""
    return [_whole(message) if isinstance(message, AIMessage) and message.invalid_tool_calls else message for message in messages]


def _written(chunks: Iterable[BaseMessage]) -> dict[str, str]:
    """The arguments of each call as they came, by its id."""
    texts: dict[str, list[str]] = {}
    at: dict[Any, str] = {}
    for chunk in chunks:
        for piece in chunk.tool_call_chunks if isinstance(chunk, AIMessageChunk) else ():
            if piece["id"]:
                at[piece["index"]] = piece["id"]
            if id_ := at.get(piece["index"]):
                texts.setdefault(id_, []).append(piece["args"] or "")
    return {id_: "".join(parts) for id_, parts in texts.items()}


def _is_object(text: str) -> bool:
    try:
        return not text.strip() or isinstance(json.loads(text), dict)
    except ValueError:
        return False


def _refusal(message: AIMessage) -> str:
    parts = message.content if isinstance(message.content, list) else []
    said = [str(part["refusal"]) for part in parts if isinstance(part, dict) and part.get("type") == "refusal"]
    reason = blocked(message)
    return " ".join(said) or (f"its provider blocked the request ({reason})" if reason else "")


def _whole(message: AIMessage) -> AIMessage:
    made = {str(call["id"]): {"unreadable": (call["args"] or "")[:_RAW_LIMIT]} for call in message.invalid_tool_calls}
    names = {str(call["id"]): call["name"] or "unknown" for call in message.invalid_tool_calls}
    calls = [*message.tool_calls, *({"name": names[id_], "args": args, "id": id_, "type": "tool_call"} for id_, args in made.items())]
    content = [_part(part, made) for part in message.content] if isinstance(message.content, list) else message.content
    return message.model_copy(update={"content": content, "tool_calls": calls, "invalid_tool_calls": []})


def _part(part: Any, made: dict[str, dict[str, str]]) -> Any:
    """A provider's own block of such a call."""
    if not isinstance(part, dict):
        return part
    if part.get("type") == "function_call" and part.get("call_id") in made:
        return {**part, "arguments": json.dumps(made[part["call_id"]])}
    if part.get("type") == "tool_use" and part.get("id") in made:
        return {key: value for key, value in part.items() if key != "partial_json"} | {"input": made[part["id"]]}
    return part


def hearing_refusals(client: Any) -> Any:
    """OpenAI's client leaves out what a model says when it declines, as soon as its answer is a stream: then it would look empty."""
    from langchain_openai import ChatOpenAI

    class Hearing(ChatOpenAI):
        def _convert_chunk_to_generation_chunk(self, chunk: dict[str, Any], *more: Any) -> Any:
            made = super()._convert_chunk_to_generation_chunk(chunk, *more)
            choices = chunk.get("choices") or [{}]
            words = (choices[0].get("delta") or {}).get("refusal")
            if made is not None and words:
                made.message.additional_kwargs["refusal"] = words
            return made

    client.__class__ = Hearing
    return client
