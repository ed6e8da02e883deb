"""Anthropic's messages (https://docs.anthropic.com/en/api/messages), as strict as the real server about what it accepts."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass

from tests.stand_ins.script import Answer, Call, Json, Refusal, Request, StandIn, Turn, WireError, expect

_VERSIONS = ("2023-06-01", "2026-10-21")
"""The client of 2026 sends the key as a bearer token with the later version; older ones as `x-api-key` with the first."""
_KINDS = {
    400: "invalid_request_error",
    401: "authentication_error",
    403: "permission_error",
    404: "not_found_error",
    413: "request_too_large",
    429: "rate_limit_error",
    500: "api_error",
    529: "overloaded_error",
}
_FIELDS = frozenset(
    [
        *("model", "messages", "max_tokens", "system", "stream", "tools", "tool_choice", "temperature", "top_p", "top_k"),
        *("stop_sequences", "metadata", "thinking"),
    ]
)


@dataclass
class AnthropicStandIn(StandIn):
    @property
    def base_url(self) -> str:
        return self.url

    def error_body(self, status: int, kind: str, message: str) -> Json:
        return {"type": "error", "error": {"type": kind or _KINDS.get(status, "api_error"), "message": message}, "request_id": "req_1"}

    def stream_error(self) -> bytes:
        return _event("error", error={"type": "overloaded_error", "message": "Overloaded"})

    def handle(self, request: Request) -> tuple[int, Json | Iterator[bytes], Turn | None]:
        if self.key not in (request.headers.get("x-api-key"), request.headers.get("authorization", "").removeprefix("Bearer ")):
            raise WireError(401, "invalid x-api-key", "authentication_error")
        expect(request.headers.get("anthropic-version") in _VERSIONS, "anthropic-version: header is required")
        if request.method == "GET" and request.path.startswith("/v1/models/"):
            return self._model(request.path.removeprefix("/v1/models/"))
        expect((request.method, request.path) == ("POST", "/v1/messages"), f"unknown URL {request.method} {request.path}", 404)
        body = request.json()
        if body.get("model") not in self.models:
            raise WireError(404, f"model: {body.get('model')}", "not_found_error")
        check(body)
        turn = self.next_turn(body)
        if isinstance(turn, Refusal):
            return turn.status, {}, turn
        expect(body.get("stream") is True, "this stand-in only streams")
        return 200, _events(body, turn), turn

    def _model(self, name: str) -> tuple[int, Json, None]:
        if name not in self.models:
            return 404, self.error_body(404, "", f"model: {name}"), None
        return 200, {"type": "model", "id": name, "display_name": name, "created_at": "2026-01-01T00:00:00Z"}, None


def check(body: Json) -> None:
    """What the real server would refuse."""
    expect(set(body) <= _FIELDS, f"Extra inputs are not permitted: {sorted(set(body) - _FIELDS)}")
    expect(isinstance(body.get("max_tokens"), int) and body["max_tokens"] > 0, "max_tokens: Field required")
    expect(body.get("messages"), "messages: at least one message is required")
    expect(body["messages"][0]["role"] == "user", "messages: first message must use the user role")
    used: list[str] = []
    for number, message in enumerate(body["messages"]):
        expect(message.get("role") in ("user", "assistant"), f"messages.{number}.role: {message.get('role')!r}")
        blocks = message["content"] if isinstance(message["content"], list) else [{"type": "text", "text": message["content"]}]
        results = [block["tool_use_id"] for block in blocks if block["type"] == "tool_result"]
        expect(
            sorted(results) == sorted(used),
            f"messages.{number}: `tool_use` ids {used} need `tool_result` blocks right after, got {results}",
        )
        expect(all(block["text"].strip() for block in blocks if block["type"] == "text"), f"messages.{number}: text must be non-empty")
        used = [block["id"] for block in blocks if block["type"] == "tool_use"]
        expect(not used or message["role"] == "assistant", f"messages.{number}: `tool_use` blocks can only be in `assistant` messages")
    expect(not used, f"`tool_use` ids {used} without `tool_result`")
    for tool in body.get("tools", []):
        expect(tool.get("name") and tool["input_schema"].get("type") == "object", "tools: input_schema must be an object schema")
    expect("tool_choice" not in body or body.get("tools"), "tool_choice may only be specified while providing tools")


def _events(body: Json, turn: Answer) -> Iterator[bytes]:
    """message_start, a content block for the text and for each tool call (its input in two halves), message_delta, message_stop."""
    usage = {
        "input_tokens": turn.input_tokens - turn.cached,
        "cache_read_input_tokens": turn.cached,
        "cache_creation_input_tokens": 0,
        "output_tokens": 1,
    }
    message = {"id": "msg_1", "type": "message", "role": "assistant", "model": body["model"], "content": [], "stop_reason": None}
    yield _event("message_start", message={**message, "stop_sequence": None, "usage": usage})
    yield _event("ping")
    index = 0
    texts = turn.texts or ((turn.refusal,) if turn.refusal else ())
    if texts:
        yield _event("content_block_start", index=index, content_block={"type": "text", "text": ""})
        for text in texts:
            yield _event("content_block_delta", index=index, delta={"type": "text_delta", "text": text})
        yield _event("content_block_stop", index=index)
        index += 1
    for call in turn.calls:
        yield from _tool_use(index, call)
        index += 1
    reason = turn.stop or ("refusal" if turn.refusal else "") or ("tool_use" if turn.calls else "end_turn")
    yield _event(
        "message_delta", delta={"stop_reason": reason, "stop_sequence": None}, usage={**usage, "output_tokens": turn.output_tokens}
    )
    yield _event("message_stop")


def _tool_use(index: int, call: Call) -> Iterator[bytes]:
    block = {"type": "tool_use", "id": call.id or f"toolu_{index}_{call.name}", "name": call.name, "input": {}}
    yield _event("content_block_start", index=index, content_block=block)
    text = call.text
    for part in (text[: len(text) // 2], text[len(text) // 2 :]):
        yield _event("content_block_delta", index=index, delta={"type": "input_json_delta", "partial_json": part})
    yield _event("content_block_stop", index=index)


def _event(kind: str, **data: object) -> bytes:
    return f"event: {kind}\ndata: {json.dumps({'type': kind, **data})}\n\n".encode()
