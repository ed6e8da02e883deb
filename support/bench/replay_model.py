"""A provider on loopback that speaks OpenAI's chat completions and says what the script of the current commit tells it."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from replay_edits import Script, ToolCall

DONE = "The change of the commit is made."
REVIEW = {"verdict": "looks_good", "summary": "It is the commit's own change.", "comments": []}


@dataclass
class ScriptedProvider:
    """One commit at a time. `refused` are the tools' errors, `used` counts the calls of tools, both since `begin`."""

    url: str = ""
    refused: list[str] = field(default_factory=list)
    used: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    _script: Script | None = None
    _made: bool = False

    def begin(self, script: Script) -> None:
        self._script, self._made = script, False
        self.refused, self.used, self.faults = [], Counter(), []

    def answer(self, body: dict[str, Any]) -> tuple[str, list[ToolCall]]:
        """Text and calls. Where it is in its script it knows from the conversation, so that an answer asked for again is the same."""
        assert self._script is not None
        messages = body["messages"]
        self._hear(messages)
        offered = {tool["function"]["name"] for tool in body.get("tools", [])}
        if "DraftPlan" in offered:
            return "", [ToolCall("DraftPlan", self._script.plan)]
        if "DraftReview" in offered:
            return "", [ToolCall("DraftReview", REVIEW)]
        said = sum(message["role"] == "assistant" for message in messages)
        if self._made or said >= len(self._script.rounds):
            # Red tests come back to it: they are the commit's own, and there is nothing to repair.
            self._made = True
            return DONE, []
        calls = list(self._script.rounds[said])
        self.used.update(call.name for call in calls)
        return "", calls

    def _hear(self, messages: list[dict[str, Any]]) -> None:
        for message in reversed(messages):
            if message["role"] != "tool":
                break
            text = str(message["content"])
            if text.startswith("Error") or ("exit code" in text[:40] and not text.startswith("exit code 0")):
                self.refused.append(text[:600])

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
            length = int(head.partition("content-length:")[2].partition("\r")[0] or 0)
            body = json.loads(await reader.readexactly(length))
            text, calls = self.answer(body)
            data = b"".join(_events(body, text, calls))
            fields = f"content-type: text/event-stream\r\ncontent-length: {len(data)}\r\nconnection: close"
            writer.write(f"HTTP/1.1 200 OK\r\n{fields}\r\n\r\n".encode() + data)
            await writer.drain()
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        except Exception as fault:
            self.faults.append(repr(fault))
            raise
        finally:
            writer.close()


def _events(body: dict[str, Any], text: str, calls: list[ToolCall]) -> Iterator[bytes]:
    said = sum(len(message.get("tool_calls") or []) for message in body["messages"])
    parts: list[dict[str, Any]] = [{"role": "assistant", "content": text}]
    for number, call in enumerate(calls):
        function = {"name": call.name, "arguments": json.dumps(call.arguments)}
        parts.append({"tool_calls": [{"index": number, "id": f"call_{said + number}", "type": "function", "function": function}]})
    for part in parts:
        yield _event(body, [{"index": 0, "delta": part, "finish_reason": None}])
    yield _event(body, [{"index": 0, "delta": {}, "finish_reason": "tool_calls" if calls else "stop"}])
    yield _event(body, [], usage={"prompt_tokens": 10, "completion_tokens": 10, "total_tokens": 20})
    yield b"data: [DONE]\n\n"


def _event(body: dict[str, Any], choices: list[Any], **more: Any) -> bytes:
    chunk = {"id": "replay", "object": "chat.completion.chunk", "created": 1, "model": body["model"], "choices": choices, **more}
    return f"data: {json.dumps(chunk)}\n\n".encode()


@asynccontextmanager
async def scripted_provider() -> AsyncIterator[ScriptedProvider]:
    """On a free loopback port, at `url`, until the block ends."""
    provider = ScriptedProvider()
    server = await asyncio.start_server(provider.serve, "127.0.0.1", 0, limit=2**20)
    provider.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/v1"
    try:
        yield provider
    finally:
        server.close()
