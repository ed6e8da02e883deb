"""Bodies and answers of the conversation."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import BaseModel, Field, StringConstraints, model_validator

from agent_orchestrator.dependencies import Body
from shared.store.records import Message, Session
from shared.types import Json

Identifier = Annotated[str, StringConstraints(min_length=1, max_length=200)]


class Selection(Body):
    start_line: int = Field(ge=1)
    end_line: int = Field(ge=1)

    @model_validator(mode="after")
    def _in_order(self) -> Selection:
        if self.end_line < self.start_line:
            raise ValueError("end_line comes before start_line")
        return self


class ChatContext(Body):
    """Where the message was written. `repo` is a folder of the server's machine."""

    project_id: Identifier | None = None
    repo: str | None = Field(default=None, min_length=1, max_length=4096)
    branch: str | None = Field(default=None, min_length=1, max_length=500)
    file_path: str | None = Field(default=None, max_length=4096)
    selection: Selection | None = None
    workspace_path: str | None = Field(default=None, max_length=4096)


class MessageRequest(Body):
    message: str
    context: ChatContext | None = None


class ChatRequest(MessageRequest):
    """One turn. `user_id` is accepted and has no authority: the caller is who the token says."""

    session_id: Identifier | None = None
    user_id: str | None = Field(default=None, max_length=200)


class ChatResponse(BaseModel):
    message: str
    session_id: str
    intent: Literal["task_created", "clarification", "status_query", "approval_action", "task_updated", "general_query", "error"]
    task_id: str | None = None
    suggestions: list[str] = Field(default_factory=list)
    metadata: Json = Field(default_factory=dict)


class SessionRequest(Body):
    session_id: Identifier | None = None
    project_id: Identifier | None = None
    title: str = Field(default="", max_length=500)


class SessionView(BaseModel):
    session_id: str
    project_id: str | None
    title: str
    draft: Json | None
    context: Json
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, session: Session) -> SessionView:
        fields = session.model_dump(exclude={"id", "user_id"})
        return cls(session_id=session.id, **fields)


class SessionList(BaseModel):
    items: list[SessionView]
    next_cursor: str | None = None


class MessageView(BaseModel):
    message_id: str
    session_id: str
    role: Literal["user", "assistant", "system"]
    content: str
    metadata: Json
    created_at: datetime

    @classmethod
    def of(cls, message: Message) -> MessageView:
        return cls(message_id=message.id, **message.model_dump(exclude={"id"}))


class MessageList(BaseModel):
    """Oldest first. `next_cursor` leads to older ones."""

    items: list[MessageView]
    next_cursor: str | None = None
