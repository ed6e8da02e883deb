"""What goes into a chat turn and what comes out of it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.errors import InvalidRequestError
from shared.types import Json

LONGEST_MESSAGE = 100_000
LONGEST_SESSION_ID = 200
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff]")

AnswerIntent = Literal["task_created", "clarification", "status_query", "approval_action", "task_updated", "general_query", "error"]


@dataclass(frozen=True)
class ChatTurn:
    """One message. `context` may hold project_id, repo, branch, file_path, selection and workspace_path."""

    message: str
    user_id: str
    session_id: str | None = None
    context: Json = field(default_factory=dict)
    default_repo: str | None = None
    begun: Callable[[AsyncConnection], Awaitable[object]] | None = None
    """Called first in the turn's transaction, again if it begins anew."""
    ended: Callable[[AsyncConnection, ChatAnswer], Awaitable[object]] | None = None
    """Called last in it: what it stores is there if the turn is."""


@dataclass(frozen=True)
class ChatAnswer:
    message: str
    session_id: str
    intent: AnswerIntent
    task_id: str | None = None
    suggestions: list[str] = field(default_factory=list)
    metadata: Json = field(default_factory=dict)


@dataclass(frozen=True)
class Reply:
    """What a node answers: the answer without the session, plus what is remembered with it."""

    message: str
    intent: AnswerIntent
    task_id: str | None = None
    suggestions: tuple[str, ...] = ()
    metadata: Json = field(default_factory=dict)


def read_message(message: str) -> str:
    """The message without control characters and outer blanks. `InvalidRequestError` when nothing is left or it is too long."""
    if len(message) > LONGEST_MESSAGE:
        raise InvalidRequestError(
            f"The message is longer than {LONGEST_MESSAGE:,} characters.", "Shorten it, or put the text into a file of the repository."
        )
    clean = _CONTROL.sub("", message).strip()
    if not clean:
        raise InvalidRequestError("The message is empty.", "Say what should be done, or ask for help.")
    return clean


def check_session_id(session_id: str) -> None:
    if not session_id.strip() or len(session_id) > LONGEST_SESSION_ID or not session_id.isprintable():
        raise InvalidRequestError(
            f"A session id is 1 to {LONGEST_SESSION_ID} printable characters.", "Leave session_id out to begin a new session."
        )
