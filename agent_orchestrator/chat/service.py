"""One chat turn as the network sees it, and the sessions around it."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable

from sqlalchemy.ext.asyncio import AsyncConnection

from agent_orchestrator.chat.schemas import ChatContext, ChatResponse, SessionRequest
from agent_orchestrator.conversation.turn import LONGEST_MESSAGE, ChatAnswer, ChatTurn, read_message
from agent_orchestrator.dependencies import Services
from agent_orchestrator.errors import TooLargeError, of_error, problem
from agent_orchestrator.idempotency import AnsweredError, Keyed
from shared import metrics
from shared.errors import ConflictError, InvalidRequestError, NotFoundError, PersevereError
from shared.ratelimits.port import require
from shared.store import projects, sessions
from shared.store.records import Message, Session
from shared.types import new_id


def check_message(message: str) -> str:
    """The message, if a turn can be made of it."""
    if len(message) > LONGEST_MESSAGE:
        raise TooLargeError(
            f"The message has {len(message)} characters; {LONGEST_MESSAGE} are possible.",
            "Put long material into a file of the repository and name it.",
            code="message_too_large",
        )
    try:
        return read_message(message)
    except InvalidRequestError as exc:
        raise InvalidRequestError(exc.message, exc.next_step, code="empty_message") from exc


async def take_turn(
    given: Services, message: str, session_id: str | None, context: ChatContext | None, keyed: Keyed | None = None
) -> ChatResponse:
    """Answer one message, under its key if it has one. Counts it, whatever comes of it."""
    started = time.perf_counter()
    intent, outcome = "none", "error"
    try:
        await require(given.resources.limiter, given.user_id)
        turn = ChatTurn(
            message=check_message(message),
            session_id=session_id,
            user_id=given.user_id,
            context=context.model_dump(exclude_none=True) if context else {},
            default_repo=given.default_repo,
            begun=keyed.begin if keyed is not None else None,
            ended=_keeping(keyed) if keyed is not None else None,
        )
        answer = await given.conversation.turn(turn)
        intent, outcome = answer.intent, "ok"
        if isinstance(sure := answer.metadata.get("confidence"), int | float):
            metrics.confidence(float(sure))
        return respond(answer)
    except PersevereError as exc:
        outcome = "refused" if exc.status < 500 else "error"
        raise
    finally:
        metrics.chat_request(intent, outcome, time.perf_counter() - started)


def _keeping(keyed: Keyed) -> Callable[[AsyncConnection, ChatAnswer], Awaitable[object]]:
    async def keep(tx: AsyncConnection, answer: ChatAnswer) -> None:
        await keyed.keep(tx, respond(answer))

    return keep


def respond(answer: ChatAnswer) -> ChatResponse:
    return ChatResponse(
        message=answer.message,
        session_id=answer.session_id,
        intent=answer.intent,
        task_id=answer.task_id,
        suggestions=list(answer.suggestions),
        metadata=answer.metadata,
    )


def tokens(text: str) -> list[str]:
    """The text in pieces that join to it again: a word with the space after it."""
    return re.findall(r"\s*\S+\s*", text) or [text]


async def own_session(given: Services, session_id: str) -> Session:
    async with given.resources.database.connection() as tx:
        session = await sessions.get(tx, session_id)
    if session is None or session.user_id != given.user_id:
        raise NotFoundError(f"There is no session {session_id}.", "GET /chat/sessions lists yours.")
    return session


async def check_session(given: Services, session_id: str) -> None:
    """`NotFoundError` when the session is another person's; one that does not exist yet is made by its first message."""
    async with given.resources.database.connection() as tx:
        session = await sessions.get(tx, session_id)
    if session is not None and session.user_id != given.user_id:
        raise NotFoundError(f"There is no session {session_id}.", "GET /chat/sessions lists yours.")


async def create_session(tx: AsyncConnection, given: Services, wanted: SessionRequest) -> Session:
    if wanted.project_id is not None:
        project = await projects.get(tx, wanted.project_id)
        if project is None or project.user_id != given.user_id:
            raise NotFoundError(f"There is no project {wanted.project_id}.", "GET /projects lists yours.")
    session_id = wanted.session_id or new_id("session")
    if await sessions.get(tx, session_id) is not None:
        raise ConflictError(f"A session {session_id} exists already.", "Leave session_id out to have one made.")
    session = Session(id=session_id, user_id=given.user_id, project_id=wanted.project_id, title=wanted.title)
    await sessions.insert(tx, session)
    return session


async def delete_session(given: Services, session_id: str) -> None:
    await own_session(given, session_id)
    async with given.resources.database.transaction() as tx:
        await sessions.delete(tx, session_id)


async def history(given: Services, session_id: str, limit: int, before: str | None) -> tuple[list[Message], str | None]:
    """The latest messages, oldest first, and where older ones begin."""
    await own_session(given, session_id)
    async with given.resources.database.connection() as tx:
        found = await sessions.messages(tx, session_id, limit=limit + 1, before=before)
    kept = found[-limit:]
    return kept, kept[0].id if len(found) > limit else None


async def _first_or_new(
    given: Services, message: str, session_id: str | None, context: ChatContext | None, keyed: Keyed | None
) -> ChatResponse:
    """The answer that was given under the key, else a new one."""
    try:
        return await take_turn(given, message, session_id, context, keyed)
    except AnsweredError as answered:
        return ChatResponse.model_validate(answered.stored.body)


async def turn_parts(
    given: Services, message: str, session_id: str | None, context: ChatContext | None, keyed: Keyed | None = None
) -> AsyncGenerator[tuple[str, object], None]:
    """The turn as named parts: `status`, `token` …, `message`, `done`; instead of the last three `error` and `done`."""
    yield "status", {"state": "thinking"}
    try:
        answer = await _first_or_new(given, message, session_id, context, keyed)
    except PersevereError as exc:
        yield "error", of_error(exc)
        yield "done", {"state": "failed"}
        return
    except Exception:
        yield "error", problem(500, "internal_error", "Something went wrong inside Persevere.", "Look in the server's log.")
        yield "done", {"state": "failed"}
        raise
    for token in tokens(answer.message):
        yield "token", {"text": token}
    yield "message", answer.model_dump(mode="json")
    yield "done", {"state": "answered", "session_id": answer.session_id, "task_id": answer.task_id}
