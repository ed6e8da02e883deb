"""What people say while a model works, given to it at its next step, once."""

from __future__ import annotations

from langchain_core.messages import AnyMessage, HumanMessage

from agents.context import TaskContext
from agents.loop.steps import Steps
from shared.types import Json

_ANEW = (
    "The work was interrupted and goes on in a fresh checkout that has all your changes. "
    "What commands left besides, such as build results and caches, is gone."
)


def heard(context: TaskContext, remarks: list[str]) -> Json:
    """What a model knows that was told these remarks and the hint of the last retry, for `Steps.begin`."""
    return {"remarks": len(remarks), "hint": context.task.request.get("hint")}


async def news(context: TaskContext, steps: Steps) -> list[AnyMessage]:
    """What the model does not know yet; it is told now."""
    told = await context.remarks.all() if context.remarks is not None else []
    words = told[steps.heard["remarks"] :]
    knows = heard(context, told)
    if knows["hint"] and knows["hint"] != steps.heard["hint"]:
        words.append(knows["hint"])
    steps.heard = knows
    anew = [HumanMessage(_ANEW)] if steps.made_anew() else []
    return [*anew, *(HumanMessage(f"The person who asked for the work says: {text}") for text in words)]
