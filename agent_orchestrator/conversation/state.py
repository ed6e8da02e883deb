"""What flows through the conversation graph, and the live handles its nodes work with."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Literal, TypedDict

from sqlalchemy.ext.asyncio import AsyncConnection

from agent_orchestrator.approvals.service import ApprovalService
from agent_orchestrator.conversation.draft import Draft
from agent_orchestrator.conversation.repository import Places
from agent_orchestrator.conversation.turn import ChatTurn, Reply
from agent_orchestrator.tasks.service import TaskService
from shared.forge.port import RepositoryInfo
from shared.intent.port import Recogniser, Recognition, Turn
from shared.recipes.port import RecipeBook
from shared.recipes.repository_config import RepositoryConfig
from shared.store.database import Database
from shared.store.records import Approval, Message, Session

Route = Literal["clarify", "submit", "status", "decide", "control", "answer"]


class TurnTransaction:
    """The turn's transaction. `pause` commits and gives the connection back, so that a service may use one of its own."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._stack = AsyncExitStack()
        self._tx: AsyncConnection | None = None

    @property
    def tx(self) -> AsyncConnection:
        if self._tx is None:
            raise RuntimeError("the turn's transaction is paused")
        return self._tx

    async def __aenter__(self) -> TurnTransaction:
        self._tx = await self._stack.enter_async_context(self._database.transaction())
        return self

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        await self._stack.__aexit__(type(error) if error else None, error, error.__traceback__ if error else None)

    async def pause(self) -> None:
        self._tx = None
        await self._stack.aclose()

    async def resume(self) -> None:
        await self.__aenter__()


@dataclass(frozen=True)
class Handles:
    """Runtime context of the graph: made for each turn, never part of the state."""

    turn: TurnTransaction
    recogniser: Recogniser
    recipes: RecipeBook
    places: Places
    tasks: TaskService
    approvals: ApprovalService
    workflows: frozenset[str]
    has_model: bool

    @property
    def tx(self) -> AsyncConnection:
        return self.turn.tx


class TurnState(TypedDict, total=False):
    """`draft` is the unfinished request: the session's at first, what is left of it at the end."""

    request: ChatTurn
    text: str
    session: Session
    messages: Sequence[Message]
    history: Sequence[Turn]
    recognition: Recognition
    draft: Draft | None
    repository: RepositoryInfo | None
    config: RepositoryConfig | None
    approvals: Sequence[Approval]
    route: Route
    reply: Reply
