"""OpenAI's responses (https://platform.openai.com/docs/api-reference/responses): its newer models call tools only so."""

from __future__ import annotations

import json
from collections.abc import Iterator

from tests.stand_ins.script import Answer, Call, Json, expect, is_object

_FIELDS = frozenset(
    [
        *("model", "input", "instructions", "stream", "tools", "tool_choice", "parallel_tool_calls", "temperature", "top_p"),
        *("max_output_tokens", "reasoning", "text", "include", "store", "metadata", "truncation", "previous_response_id", "user"),
    ]
)


def check_response(body: Json) -> None:
    """What the real server would refuse."""
    expect(set(body) <= _FIELDS, f"Unknown parameter: {sorted(set(body) - _FIELDS)}")
    expect(body.get("stream") is True, "this stand-in only streams")
    expect(body.get("input"), "Missing required parameter: 'input'")
    open_calls: list[str] = []
    for number, item in enumerate(body["input"] if isinstance(body["input"], list) else []):
        match item.get("type", "message"):
            case "message":
                expect(item.get("role") in ("system", "developer", "user", "assistant"), f"input[{number}].role is {item.get('role')!r}")
            case "function_call":
                expect(is_object(item["arguments"]), f"input[{number}].arguments is no JSON object")
                open_calls.append(item["call_id"])
            case "function_call_output":
                expect(item["call_id"] in open_calls, f"No tool call found for function call output with call_id {item['call_id']}")
                open_calls.remove(item["call_id"])
            case other:
                expect(other == "reasoning", f"input[{number}].type is {other!r}")
    expect(not open_calls, f"No tool output found for function call {open_calls}")
    for tool in body.get("tools", []):
        expect(tool.get("type") == "function" and tool.get("name"), "Missing required parameter: 'tools[0].name'")


def response_events(body: Json, turn: Answer, serial: int) -> Iterator[bytes]:
    """Created, each output item with its parts and deltas, completed with the usage."""
    output: list[Json] = []
    yield _event("response.created", response=_response(body, serial, "in_progress", []))
    if turn.texts:
        yield from _message(turn.texts, serial, output)
    if turn.refusal:
        yield from _refusal(turn.refusal, serial, output)
    for call in turn.calls:
        yield from _function_call(call, serial, output)
    usage = {
        "input_tokens": turn.input_tokens,
        "input_tokens_details": {"cached_tokens": turn.cached, "cache_write_tokens": 0},
        "output_tokens": turn.output_tokens,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": turn.input_tokens + turn.output_tokens,
    }
    if turn.stop:
        whole = {**_response(body, serial, "incomplete", output), "incomplete_details": {"reason": turn.stop}, "usage": usage}
        yield _event("response.incomplete", response=whole)
        return
    yield _event("response.completed", response={**_response(body, serial, "completed", output), "usage": usage})


def _response(body: Json, serial: int, status: str, output: list[Json]) -> Json:
    return {
        "id": f"resp_{serial}",
        "object": "response",
        "created_at": 1,
        "status": status,
        "error": None,
        "incomplete_details": None,
        "instructions": None,
        "metadata": {},
        "model": body["model"],
        "output": output,
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": None,
    }


def _message(texts: tuple[str, ...], serial: int, output: list[Json]) -> Iterator[bytes]:
    index, part = len(output), {"type": "output_text", "text": "", "annotations": []}
    item: Json = {"id": f"msg_{serial}_{index}", "type": "message", "role": "assistant", "status": "in_progress", "content": []}
    place: Json = {"item_id": item["id"], "output_index": index, "content_index": 0}
    yield _event("response.output_item.added", output_index=index, item=item)
    yield _event("response.content_part.added", **place, part=part)
    for text in texts:
        yield _event("response.output_text.delta", **place, delta=text, logprobs=[])
    whole = {**part, "text": "".join(texts)}
    yield _event("response.output_text.done", **place, text=whole["text"], logprobs=[])
    yield _event("response.content_part.done", **place, part=whole)
    output.append({**item, "status": "completed", "content": [whole]})
    yield _event("response.output_item.done", output_index=index, item=output[-1])


def _refusal(words: str, serial: int, output: list[Json]) -> Iterator[bytes]:
    index, part = len(output), {"type": "refusal", "refusal": ""}
    item: Json = {"id": f"msg_{serial}_{index}", "type": "message", "role": "assistant", "status": "in_progress", "content": []}
    place: Json = {"item_id": item["id"], "output_index": index, "content_index": 0}
    yield _event("response.output_item.added", output_index=index, item=item)
    yield _event("response.content_part.added", **place, part=part)
    yield _event("response.refusal.delta", **place, delta=words)
    whole = {**part, "refusal": words}
    yield _event("response.refusal.done", **place, refusal=words)
    yield _event("response.content_part.done", **place, part=whole)
    output.append({**item, "status": "completed", "content": [whole]})
    yield _event("response.output_item.done", output_index=index, item=output[-1])


def _function_call(call: Call, serial: int, output: list[Json]) -> Iterator[bytes]:
    index, arguments = len(output), call.text
    item: Json = {
        "id": f"fc_{serial}_{index}",
        "type": "function_call",
        "status": "in_progress",
        "call_id": call.id or f"call_{serial}_{index}",
        "name": call.name,
        "arguments": "",
    }
    yield _event("response.output_item.added", output_index=index, item=item)
    half = len(arguments) // 2
    for part in (arguments[:half], arguments[half:]):
        yield _event("response.function_call_arguments.delta", item_id=item["id"], output_index=index, delta=part)
    yield _event("response.function_call_arguments.done", item_id=item["id"], output_index=index, arguments=arguments, name=call.name)
    output.append({**item, "status": "completed", "arguments": arguments})
    yield _event("response.output_item.done", output_index=index, item=output[-1])


def _event(kind: str, **data: object) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, 'sequence_number': 0, **data})}\n\n".encode()
