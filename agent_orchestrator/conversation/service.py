"""One chat turn: a message in, an answer out, everything it changes in one transaction."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, cast

from agent_orchestrator.conversation.repository import NotLookedAtError, Places, RepositoryConfigs, named_place
from agent_orchestrator.conversation.state import Handles, TurnState, TurnTransaction
from agent_orchestrator.conversation.turn import ChatAnswer, ChatTurn, check_session_id, read_message
from shared.errors import ConflictError
from shared.intent.port import Intent
from shared.intent.rules import recognise

if TYPE_CHECKING:
    from langgraph.graph.state import CompiledStateGraph

    from agent_orchestrator.approvals.service import ApprovalService
    from agent_orchestrator.resources import Resources
    from agent_orchestrator.tasks.service import TaskService

__all__ = ["ChatAnswer", "ChatTurn", "Conversation"]

_MOST_PLACES = 5


class Conversation:
    """Answers messages. Turns of one session come one after the other; turns of several run side by side."""

    def __init__(self, resources: Resources, tasks: TaskService, approvals: ApprovalService) -> None:
        self._resources = resources
        self._tasks = tasks
        self._approvals = approvals
        self._configs = RepositoryConfigs()

    @cached_property
    def graph(self) -> CompiledStateGraph[TurnState, Handles, TurnState, TurnState]:
        """Built by its first use: who only looks at tasks does not wait for a library of graphs to be imported."""
        from agent_orchestrator.conversation.graph import build_conversation_graph

        return build_conversation_graph()

    async def turn(self, request: ChatTurn) -> ChatAnswer:
        """Answer one message.

        Raises `InvalidRequestError` (empty or too long), `NotFoundError` (session or project of another person) and
        `RepositoryError` (a named repository that cannot be used); then nothing was changed.
        """
        text = read_message(request.message)
        if request.session_id is not None:
            check_session_id(request.session_id)
        return await self._run({"request": request, "text": text})

    async def _run(self, start: TurnState) -> ChatAnswer:
        """Run the graph. Repositories are looked at while no transaction is open; a turn that lacks one begins again with it."""
        places = Places(self._resources.forge, self._configs)
        if (named := named_place(start["request"])) and recognise(start["text"]).intent is Intent.TASK_SUBMISSION:
            await places.look(named)
        for _ in range(_MOST_PLACES):
            try:
                async with TurnTransaction(self._resources.database) as transaction:
                    return await self._in_transaction(start, transaction, places)
            except NotLookedAtError as missing:
                await places.look(missing.place)
        raise ConflictError("This conversation changes too fast to be answered.", "Send the message again.")

    async def _in_transaction(self, start: TurnState, transaction: TurnTransaction, places: Places) -> ChatAnswer:
        request = start["request"]
        if request.begun is not None:
            await request.begun(transaction.tx)
        answer = _answer(cast(TurnState, await self.graph.ainvoke(start, context=self._handles(transaction, places))))
        if request.ended is not None:
            await request.ended(transaction.tx, answer)
        return answer

    def _handles(self, transaction: TurnTransaction, places: Places) -> Handles:
        resources = self._resources
        return Handles(
            turn=transaction,
            recogniser=resources.recogniser,
            recipes=resources.recipes,
            places=places,
            tasks=self._tasks,
            approvals=self._approvals,
            workflows=frozenset(resources.workflows.by_name),
            has_model=resources.settings.model != "none",
        )


def _answer(state: TurnState) -> ChatAnswer:
    from agent_orchestrator.conversation.memory import answer_metadata

    reply = state["reply"]
    return ChatAnswer(
        message=reply.message,
        session_id=state["session"].id,
        intent=reply.intent,
        task_id=reply.task_id,
        suggestions=list(reply.suggestions),
        metadata=answer_metadata(state),
    )
