"""What stands around each call of a model and of a tool in a loop. It is one middleware: every further node of the graph costs time."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, cast

from langchain.agents.middleware import AgentMiddleware
from langchain.agents.middleware.types import ModelRequest, ModelResponse, ToolCallRequest
from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, AnyMessage, ToolMessage
from langgraph.types import Command

from agents.context import TaskContext
from agents.loop.listening import news
from agents.loop.steps import Steps
from agents.loop.watching import Watching
from agents.loop.window import Window
from shared.types import Json

Handler = Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]]
Tell = Callable[[list[Json]], str]


class Looping(AgentMiddleware[Any, Any, Any]):
    """`tell` makes a line for those who watch of a round's calls [{name, args}]."""

    def __init__(self, context: TaskContext, steps: Steps, watching: Watching, tell: Tell) -> None:
        super().__init__()
        self._context, self._steps, self._watching, self._tell = context, steps, watching, tell
        self._window = Window()

    async def awrap_model_call(self, request: ModelRequest[Any], handler: Handler) -> ModelResponse[Any]:
        """Until there is an answer to go on with: what is wrong with one is told to the model at once."""
        new: list[AnyMessage] = []
        while True:
            self._watching.before_answer()
            answer, response = await self._answer(request, new, handler)
            new += cast(list[AnyMessage], response.result)
            answered = {message.tool_call_id for message in response.result if isinstance(message, ToolMessage)}
            self._steps.expect([str(call["id"]) for call in answer.tool_calls if call["id"] not in answered])
            wrong = self._watching.after_answer(answer)
            new += wrong
            if not wrong or answer.tool_calls:
                return ModelResponse(result=cast(Any, new), structured_response=response.structured_response)

    async def _answer(self, request: ModelRequest[Any], new: list[AnyMessage], handler: Handler) -> tuple[AIMessage, ModelResponse[Any]]:
        """The next answer, kept before or new; what was said before it is added to `new`."""
        if (kept := self._steps.next_answer()) is not None:
            said, before = kept
            new += said
            again = cast(BaseChatModel, Again(before))
            return before, await handler(request.override(model=again, messages=[*request.messages, *new]))
        said = await news(self._context, self._steps)
        new += said
        try:
            response = await handler(request.override(messages=self._window.shown([*request.messages, *new])))
        except BaseException:
            await self._steps.spend.settle()
            raise
        answer = next(message for message in response.result if isinstance(message, AIMessage))
        made: list[Json] = [{"name": call["name"], "args": call["args"]} for call in answer.tool_calls]
        await self._steps.answered(said, answer, self._tell(made) if made else "")
        return answer, response

    async def awrap_tool_call(
        self, request: ToolCallRequest, handler: Callable[[ToolCallRequest], Awaitable[ToolMessage | Command[Any]]]
    ) -> ToolMessage | Command[Any]:
        call = str(request.tool_call["id"])
        answer = self._steps.kept_tool_answer(call)
        if answer is None:
            answer = await self._watching.call_tool(request, handler)
        else:
            self._watching.after_tool(request, answer)
        await self._steps.tool_answered(call, answer)
        return answer


class Again:
    """Stands for the model where its answer is known already."""

    def __init__(self, answer: AIMessage) -> None:
        self._answer = answer

    def bind_tools(self, tools: Sequence[Any], **kwargs: Any) -> Again:
        return self

    bind = bind_tools

    async def ainvoke(self, messages: Sequence[AnyMessage]) -> AIMessage:
        return self._answer
