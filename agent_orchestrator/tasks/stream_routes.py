"""A task's events: as a list, as server-sent events, over a WebSocket."""

from __future__ import annotations

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, WebSocket, WebSocketDisconnect
from starlette.responses import JSONResponse, Response

from agent_orchestrator.dependencies import Given
from agent_orchestrator.errors import of_error, problem_response, problems
from agent_orchestrator.streams import send_text, sse_events, sse_response
from agent_orchestrator.tasks.schemas import EventList
from shared.background import end_task
from shared.errors import InvalidRequestError, NotFoundError
from shared.events.port import Following

router = APIRouter(tags=["tasks"])

MAX_SEQ = 2**31 - 1
AFTER = Query(ge=0, le=MAX_SEQ, description="Only events with a greater `seq`.")
EITHER: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/event-stream": {"schema": {"type": "string"}}}, "description": "The events, as a list or as a stream"}
}


@router.get("/tasks/{task_id}/events", response_model=EventList, responses=problems(404, 422) | EITHER)
async def task_events(
    task_id: str,
    given: Given,
    after: Annotated[int, AFTER] = 0,
    limit: Annotated[int, Query(ge=1, le=1000, description="Of the list; a stream has no limit.")] = 1000,
    accept: Annotated[str, Header()] = "",
    last_event_id: Annotated[str | None, Header()] = None,
) -> Response:
    """The events after `after` (or after `Last-Event-ID`). With `Accept: text/event-stream` a stream that goes on until the task ends."""
    start = after if last_event_id is None else _sequence(last_event_id)
    await given.tasks.get(task_id, given.user_id)
    if "text/event-stream" in accept.lower():
        return sse_response(sse_events(given.streams, given.resources.feed, task_id, start))
    found = await given.resources.feed.read(task_id, start, limit)
    page = EventList(items=[event.public() for event in found], next_cursor=str(found[-1].seq) if len(found) == limit else None)
    return JSONResponse(page.model_dump(mode="json"))


def _sequence(value: str) -> int:
    """The number of the last event that a client has; the empty id is none."""
    value = value.strip()
    if value == "":
        return 0
    if not (value.isascii() and value.isdigit() and len(value) <= 10 and int(value) <= MAX_SEQ):
        raise InvalidRequestError(
            "Last-Event-ID is the number of an event.", "Send the `id` of the last event you have.", code="invalid_event_id"
        )
    return int(value)


@router.websocket("/ws/tasks/{task_id}/status")
async def task_socket(socket: WebSocket, task_id: str, given: Given, after: Annotated[int, AFTER] = 0) -> None:
    """The events as JSON messages; closes with 1000 at the task's end and with 1012 when the server stops."""
    try:
        await given.tasks.get(task_id, given.user_id)
    except NotFoundError as exc:
        await socket.send_denial_response(problem_response(of_error(exc)))
        return
    await socket.accept()
    with given.streams.open(given.resources.feed, task_id, after) as following:
        leaving = asyncio.create_task(_until_gone(socket, following))
        try:
            while (events := await following.next()) is not None:
                for event in events:
                    await send_text(socket, event.wire.decode())
        except WebSocketDisconnect:
            return
        finally:
            is_gone = leaving.done()
            await end_task(leaving)
    if not is_gone:
        await socket.close(1012 if given.streams.is_stopping else 1000)


async def _until_gone(socket: WebSocket, following: Following) -> None:
    """What the client says does not matter, only that it leaves."""
    while (await socket.receive())["type"] != "websocket.disconnect":
        pass
    following.close()
