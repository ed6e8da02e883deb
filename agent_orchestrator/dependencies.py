"""What routes are given: the services of this process and who is calling."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Query
from pydantic import BaseModel
from starlette.requests import HTTPConnection

from agent_orchestrator.identity.service import Identity
from agent_orchestrator.streams import Streams
from config.settings import Settings

if TYPE_CHECKING:
    from agent_orchestrator.approvals.service import ApprovalService
    from agent_orchestrator.conversation.service import Conversation
    from agent_orchestrator.resources import Resources
    from agent_orchestrator.tasks.service import TaskService


@dataclass(frozen=True)
class Services:
    """Everything a route needs. `user_id` is the caller: one local user owns this server."""

    settings: Settings
    resources: Resources
    tasks: TaskService
    approvals: ApprovalService
    conversation: Conversation
    identity: Identity
    streams: Streams
    default_repo: str | None

    @property
    def user_id(self) -> str:
        return self.resources.user_id


async def services(connection: HTTPConnection) -> Services:
    found: Services = connection.app.state.services
    return found


Given = Annotated[Services, Depends(services)]


@dataclass(frozen=True)
class Page:
    """Which part of a list: at most `limit` items after `cursor`, the `next_cursor` of the page before."""

    limit: int
    cursor: str | None


async def page(
    limit: Annotated[int, Query(ge=1, le=200, description="How many items at most.")] = 50,
    cursor: Annotated[str | None, Query(max_length=500, description="`next_cursor` of the page before.")] = None,
) -> Page:
    return Page(limit, cursor)


Paged = Annotated[Page, Depends(page)]


class Body(BaseModel):
    """Base of request bodies: unknown fields are refused, so that a misspelt one is not silently ignored."""

    model_config = {"extra": "forbid"}
