"""Google's generateContent (https://ai.google.dev/api/generate-content), as strict as the real server about what it accepts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass

from tests.stand_ins.script import Answer, Json, Refusal, Request, StandIn, Turn, WireError, expect

_STATUS = {
    400: "INVALID_ARGUMENT",
    403: "PERMISSION_DENIED",
    404: "NOT_FOUND",
    429: "RESOURCE_EXHAUSTED",
    500: "INTERNAL",
    503: "UNAVAILABLE",
}
_METHOD = re.compile(r"/v1beta/models/([^:/]+)(?::(generateContent|streamGenerateContent))?$")
_FIELDS = frozenset(["contents", "systemInstruction", "tools", "toolConfig", "generationConfig", "safetySettings", "cachedContent"])


@dataclass
class GoogleStandIn(StandIn):
    @property
    def base_url(self) -> str:
        return self.url

    def error_body(self, status: int, kind: str, message: str) -> Json:
        details = (
            [{"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": kind}] if kind.endswith("s") and kind[:1].isdigit() else []
        )
        return {"error": {"code": status, "message": message, "status": _STATUS.get(status, "UNKNOWN"), "details": details}}

    def stream_error(self) -> bytes:
        return f"data: {json.dumps(self.error_body(503, '', 'The model is overloaded.'))}\r\n\r\n".encode()

    def handle(self, request: Request) -> tuple[int, Json | Iterator[bytes], Turn | None]:
        if request.headers.get("x-goog-api-key") != self.key:
            body = self.error_body(400, "", "API key not valid. Please pass a valid API key.")
            body["error"]["details"] = [{"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": "API_KEY_INVALID"}]
            return 400, body, None
        called = _METHOD.match(request.path)
        if called is None or called[1] not in self.models:
            name = called[1] if called is not None else request.path
            return 404, self.error_body(404, "", f"models/{name} is not found for API version v1beta"), None
        if request.method == "GET":
            return 200, {"name": f"models/{called[1]}", "supportedGenerationMethods": ["generateContent"]}, None
        expect(request.method == "POST" and called[2] == "streamGenerateContent", "this stand-in only streams", 404)
        expect("alt=sse" in request.query, "streamGenerateContent without alt=sse")
        body = request.json()
        check(body)
        turn = self.next_turn(body)
        if isinstance(turn, Refusal):
            return turn.status, {}, turn
        return 200, _events(called[1], turn), turn


def check(body: Json) -> None:
    """What the real server would refuse."""
    if set(body) - _FIELDS:
        raise WireError(400, f'Invalid JSON payload received. Unknown name "{min(set(body) - _FIELDS)}"')
    expect(body.get("contents"), "contents is not specified")
    calls: list[str] = []
    for number, content in enumerate(body["contents"]):
        expect(content.get("role") in ("user", "model"), f"contents[{number}].role: please use a valid role: user, model")
        expect(content.get("parts"), f"contents[{number}].parts must not be empty")
        answered = [part["functionResponse"]["name"] for part in content["parts"] if "functionResponse" in part]
        expect(sorted(answered) == sorted(calls), f"contents[{number}]: function calls {calls} need as many responses, got {answered}")
        calls = [part["functionCall"]["name"] for part in content["parts"] if "functionCall" in part]
        expect(not calls or content["role"] == "model", f"contents[{number}]: a function call of the user")
    expect(not calls, f"function calls {calls} without a response")
    for tool in body.get("tools", []):
        for declared in tool.get("functionDeclarations", []):
            schema = declared.get("parameters") or declared.get("parametersJsonSchema")
            expect(declared.get("name") and (schema is None or str(schema.get("type")).lower() == "object"), "a malformed function")


def _events(model: str, turn: Answer) -> Iterator[bytes]:
    """Pieces of text, then the function calls; the last one has the reason.

    A prompt that is refused has no answer at all. Usage is cumulative in every event, as with the real server.
    """
    parts: list[list[Json]] = [[{"text": text}] for text in turn.texts]
    if turn.refusal:
        feedback: Json = {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}, "usageMetadata": {"promptTokenCount": turn.input_tokens}}
        yield f"data: {json.dumps({**feedback, 'modelVersion': model})}\r\n\r\n".encode()
        return
    parts += [[{"functionCall": {"name": call.name, "args": call.arguments}}] for call in turn.calls]
    parts = parts or [[{"text": ""}]]
    for number, part in enumerate(parts or [[]]):
        last = number >= len(parts) - 1
        candidate: Json = {"content": {"role": "model", "parts": part} if part else {"role": "model"}, "index": 0}
        if last:
            candidate["finishReason"] = turn.stop or "STOP"
        usage: Json = {"promptTokenCount": turn.input_tokens, "totalTokenCount": turn.input_tokens + (turn.output_tokens if last else 0)}
        if last:
            usage["candidatesTokenCount"] = turn.output_tokens
        if turn.cached:
            usage["cachedContentTokenCount"] = turn.cached
        yield f"data: {json.dumps({'candidates': [candidate], 'usageMetadata': usage, 'modelVersion': model})}\r\n\r\n".encode()
