"""OpenAI's chat completions (https://platform.openai.com/docs/api-reference/chat), as strict as the real server about what it accepts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from tests.stand_ins.openai_responses import check_response, response_events
from tests.stand_ins.script import Answer, Call, Json, Refusal, Request, StandIn, Turn, WireError, expect, is_object

_FIELDS = frozenset(
    [
        *("model", "messages", "stream", "stream_options", "tools", "tool_choice", "parallel_tool_calls", "temperature", "top_p", "stop"),
        *("max_tokens", "max_completion_tokens", "n", "response_format", "reasoning_effort", "seed", "user", "metadata"),
    ]
)


@dataclass
class OpenAIStandIn(StandIn):
    """At `url` + /v1. Its key is a bearer token; no key, no question (a local server)."""

    @property
    def base_url(self) -> str:
        return f"{self.url}/v1"

    def error_body(self, status: int, kind: str, message: str) -> Json:
        return {"error": {"message": message, "type": kind or "invalid_request_error", "param": None, "code": kind or None}}

    def stream_error(self) -> bytes:
        return _event({"error": {"message": "The server had an error.", "type": "server_error", "param": None, "code": None}})

    def handle(self, request: Request) -> tuple[int, Json | Iterator[bytes], Turn | None]:
        if self.key and request.headers.get("authorization") != f"Bearer {self.key}":
            said = request.headers.get("authorization", "").removeprefix("Bearer ")
            raise WireError(401, f"Incorrect API key provided: {said}. You can find your API key at https://…", "invalid_api_key")
        if request.method == "GET" and request.path.startswith("/v1/models"):
            return self._models(request.path.removeprefix("/v1/models").strip("/"))
        known = ("/v1/chat/completions", "/v1/responses")
        expect(request.method == "POST" and request.path in known, f"unknown URL {request.method} {request.path}", 404)
        body = request.json()
        if body.get("model") not in self.models:
            raise WireError(404, f"The model {body.get('model')!r} does not exist or you do not have access to it.", "model_not_found")
        by_responses = request.path == "/v1/responses"
        (check_response if by_responses else check)(body)
        turn = self.next_turn(body)
        if isinstance(turn, Refusal):
            return turn.status, {}, turn
        if by_responses:
            return 200, response_events(body, turn, self.calls), turn
        if not body.get("stream"):
            return 200, _completion(body, turn), turn
        return 200, _events(body, turn), turn

    def _models(self, name: str) -> tuple[int, Json, None]:
        if name and name not in self.models:
            return 404, self.error_body(404, "model_not_found", f"The model {name!r} does not exist"), None
        listed = [{"id": model, "object": "model", "created": 1, "owned_by": "test"} for model in self.models]
        return 200, (listed[self.models.index(name)] if name else {"object": "list", "data": listed}), None


def check(body: Json) -> None:
    """What the real server would refuse."""
    expect(set(body) <= _FIELDS, f"Unrecognized request arguments: {sorted(set(body) - _FIELDS)}")
    expect(isinstance(body.get("messages"), list) and body["messages"], "messages is empty")
    open_calls: list[str] = []
    for number, message in enumerate(body["messages"]):
        role = message.get("role")
        expect(role in ("system", "developer", "user", "assistant", "tool"), f"messages[{number}].role is {role!r}")
        if role == "tool":
            expect(
                message.get("tool_call_id") in open_calls, f"messages[{number}]: no assistant message called {message.get('tool_call_id')}"
            )
            open_calls.remove(message["tool_call_id"])
            continue
        expect(not open_calls, f"tool_calls without an answer: {open_calls}")
        for call in message.get("tool_calls") or []:
            expect(call.get("type") == "function" and call.get("id"), f"messages[{number}]: a malformed tool call")
            expect(is_object(call["function"]["arguments"]), f"messages[{number}]: the arguments of a call are no JSON object")
            open_calls.append(call["id"])
        expect(message.get("content") is not None or message.get("tool_calls"), f"messages[{number}].content is null")
    expect(not open_calls, f"tool_calls without an answer: {open_calls}")
    for tool in body.get("tools", []):
        expect(tool.get("type") == "function" and tool["function"].get("name"), "a malformed tool")
        expect(tool["function"]["parameters"].get("type") == "object", "a tool's parameters are no object schema")
    expect("tool_choice" not in body or body.get("tools"), "tool_choice without tools")
    expect(not body.get("stream_options") or body.get("stream"), "stream_options without stream")


def _usage(turn: Answer) -> Json:
    return {
        "prompt_tokens": turn.input_tokens,
        "completion_tokens": turn.output_tokens,
        "total_tokens": turn.input_tokens + turn.output_tokens,
        "prompt_tokens_details": {"cached_tokens": turn.cached},
    }


def _reason(turn: Answer) -> str:
    return turn.stop or ("tool_calls" if turn.calls else "stop")


def _call(number: int, call: Call) -> Json:
    return {
        "id": call.id or f"call_{number}_{call.name}",
        "type": "function",
        "function": {"name": call.name, "arguments": call.text},
    }


def _completion(body: Json, turn: Answer) -> Json:
    message: Json = {"role": "assistant", "content": "".join(turn.texts) or None, "refusal": turn.refusal or None}
    if turn.calls:
        message["tool_calls"] = [_call(number, call) for number, call in enumerate(turn.calls)]
    choice = {"index": 0, "message": message, "finish_reason": _reason(turn)}
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": body["model"],
        "choices": [choice],
        "usage": _usage(turn),
    }


def _events(body: Json, turn: Answer) -> Iterator[bytes]:
    """Pieces of text, then each tool call with its arguments in two halves, the reason, the usage if asked for, and `[DONE]`."""
    yield _chunk(body, {"role": "assistant", "content": ""})
    for text in turn.texts:
        yield _chunk(body, {"content": text})
    if turn.refusal:
        yield _chunk(body, {"refusal": turn.refusal})
    for number, call in enumerate(turn.calls):
        whole = _call(number, call)
        arguments = whole["function"].pop("arguments")
        half = len(arguments) // 2
        whole["function"]["arguments"] = arguments[:half]
        yield _chunk(body, {"tool_calls": [{"index": number, **whole}]})
        yield _chunk(body, {"tool_calls": [{"index": number, "function": {"arguments": arguments[half:]}}]})
    yield _chunk(body, {}, _reason(turn))
    if (body.get("stream_options") or {}).get("include_usage") and not turn.without_usage:
        yield _event({**_envelope(body), "choices": [], "usage": _usage(turn)})
    yield b"data: [DONE]\n\n"


def _envelope(body: Json) -> Json:
    return {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": body["model"]}


def _chunk(body: Json, delta: Json, reason: str | None = None) -> bytes:
    return _event({**_envelope(body), "choices": [{"index": 0, "delta": delta, "finish_reason": reason}]})


def _event(data: Json) -> bytes:
    return f"data: {json.dumps(data)}\n\n".encode()
