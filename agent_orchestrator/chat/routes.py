"""The conversation over HTTP, server-sent events and a WebSocket."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, WebSocket, WebSocketDisconnect
from pydantic import ValidationError
from pydantic_core import to_json
from starlette.responses import JSONResponse, Response

from agent_orchestrator.chat import service
from agent_orchestrator.chat.schemas import (
    ChatRequest,
    ChatResponse,
    MessageList,
    MessageRequest,
    MessageView,
    SessionList,
    SessionRequest,
    SessionView,
)
from agent_orchestrator.dependencies import Given, Paged, Services
from agent_orchestrator.errors import BODY, problem, problems
from agent_orchestrator.idempotency import AnsweredError, Keyed
from agent_orchestrator.streams import send_text, sse, sse_events, sse_response
from shared.store import sessions

router = APIRouter(tags=["chat"])

STREAM: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}, "description": "Server-sent events"}
}


@router.post("/chat", response_model=ChatResponse, responses=problems(404, 409, 429, *BODY))
async def chat(request: Request, body: ChatRequest, given: Given) -> Response:
    """Say something; the answer says what came of it."""
    return await _answer(given, Keyed(request, given, 200), body, body.session_id)


async def _answer(given: Services, keyed: Keyed, body: MessageRequest, session_id: str | None) -> Response:
    await keyed.check()
    return JSONResponse((await service.take_turn(given, body.message, session_id, body.context, keyed)).model_dump(mode="json"))


@router.post("/chat/stream", response_class=Response, responses=problems(404, 409, *BODY) | STREAM)
async def chat_stream(
    request: Request,
    body: ChatRequest,
    given: Given,
    follow: Annotated[bool, Query(description="Go on with the events of the task the message was about.")] = False,
) -> Response:
    """The same as server-sent events: `status`, `token` …, `message`, `done`; then, with `follow`, the task's events."""
    service.check_message(body.message)
    keyed = Keyed(request, given, 200)
    with suppress(AnsweredError):  # the first answer is streamed again
        await keyed.check()
    if body.session_id is not None:
        await service.check_session(given, body.session_id)
    return sse_response(_stream(given, body, follow, keyed))


async def _stream(given: Services, body: ChatRequest, follow: bool, keyed: Keyed) -> AsyncGenerator[bytes, None]:
    task_id: str | None = None
    async for name, data in service.turn_parts(given, body.message, body.session_id, body.context, keyed):
        if name == "message" and isinstance(data, dict):
            task_id = data["task_id"]
        yield sse(data, event=name)
    if follow and task_id is not None:
        async with aclosing(sse_events(given.streams, given.resources.feed, task_id, 0)) as events:
            async for piece in events:
                yield piece


@router.websocket("/chat/ws")
async def chat_socket(socket: WebSocket, given: Given) -> None:
    """Each text message is a ChatRequest; each answer comes as `{type: status|token|message|done|error, …}`."""
    await socket.accept()
    try:
        while True:
            try:
                body = ChatRequest.model_validate_json(await socket.receive_text())
            except (ValidationError, KeyError) as exc:
                said = "; ".join(error["msg"] for error in exc.errors()[:3]) if isinstance(exc, ValidationError) else "Text was expected."
                document = problem(422, "validation_failed", f"The message is not a chat request. {said}.", 'Send {"message": "…"}.')
                await send_text(socket, to_json({**document, "type": "error", "problem": document["type"]}).decode())
                continue
            async for name, data in service.turn_parts(given, body.message, body.session_id, body.context):
                assert isinstance(data, dict)
                await send_text(socket, to_json({**data, "type": name}).decode())
    except WebSocketDisconnect:
        return


@router.get("/chat/sessions", response_model=SessionList, responses=problems(422))
async def list_sessions(given: Given, paged: Paged, project_id: Annotated[str | None, Query(max_length=200)] = None) -> SessionList:
    """Your sessions, the last used first."""
    async with given.resources.database.connection() as tx:
        found, cursor = await sessions.list_(tx, given.user_id, project_id=project_id, limit=paged.limit, cursor=paged.cursor)
    return SessionList(items=[SessionView.of(item) for item in found], next_cursor=cursor)


@router.post("/chat/sessions", response_model=SessionView, status_code=201, responses=problems(404, 409, *BODY))
async def create_session(request: Request, body: SessionRequest, given: Given) -> Response:
    """Begin a session."""
    keyed = Keyed(request, given, 201)
    async with keyed.transaction() as tx:
        return await keyed.keep(tx, SessionView.of(await service.create_session(tx, given, body)))


@router.get("/chat/sessions/{session_id}", response_model=SessionView, responses=problems(404))
async def get_session(session_id: str, given: Given) -> SessionView:
    """One session with its unfinished draft."""
    return SessionView.of(await service.own_session(given, session_id))


@router.delete("/chat/sessions/{session_id}", status_code=204, responses=problems(404))
async def delete_session(session_id: str, given: Given) -> Response:
    """Forget a session and its messages. Its tasks stay."""
    await service.delete_session(given, session_id)
    return Response(status_code=204)


@router.get("/chat/sessions/{session_id}/messages", response_model=MessageList, responses=problems(404, 422))
async def list_messages(session_id: str, given: Given, paged: Paged) -> MessageList:
    """The latest messages, oldest first; `next_cursor` leads to older ones."""
    found, older = await service.history(given, session_id, paged.limit, paged.cursor)
    return MessageList(items=[MessageView.of(item) for item in found], next_cursor=older)


@router.post("/chat/sessions/{session_id}/messages", response_model=ChatResponse, responses=problems(404, 409, 429, *BODY))
async def say_in_session(request: Request, session_id: str, body: MessageRequest, given: Given) -> Response:
    """A message in a session that exists."""
    await service.own_session(given, session_id)
    return await _answer(given, Keyed(request, given, 200), body, session_id)
