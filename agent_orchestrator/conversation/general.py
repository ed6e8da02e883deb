"""Everything that asks for no work: help, small talk, questions that cannot be answered here, attempts to change the rules."""

from __future__ import annotations

import re

from langgraph.runtime import Runtime

from agent_orchestrator.conversation.state import Handles, TurnState
from agent_orchestrator.conversation.turn import Reply
from shared.intent.general import is_about_the_assistant, is_injection
from shared.intent.text import read_text
from shared.recipes.port import RecipeBook

_SUGGESTED = 4
_THANKS = re.compile(
    r"\b(?:thanks|thank you|thx|cheers|danke|merci|gracias|awesome|great|nice|cool|perfect|good (?:job|work))\b", re.IGNORECASE
)
_BYE = re.compile(r"\b(?:bye|goodbye|see you|see ya|adios)\b", re.IGNORECASE)
_HOW_TO_DECIDE = re.compile(r"\bhow\b.*\b(?:approve|reject|decide)\b", re.IGNORECASE)
_HOW_TO_STOP = re.compile(r"\bhow\b.*\b(?:cancel|stop|abort|retry)\b", re.IGNORECASE)


async def answer(state: TurnState, runtime: Runtime[Handles]) -> TurnState:
    handles, text = runtime.context, read_text(state["text"])
    suggestions = tuple(recipe.example for recipe in handles.recipes.all())[:_SUGGESTED]
    draft = state["draft"]
    if is_injection(text):
        message = (
            "I keep to my rules: changes wait for their approvals, and secrets stay where they are. What should be changed in the code?"
        )
    elif _HOW_TO_DECIDE.search(text.low):
        message = "When a task waits for you, say “approve” or “reject” here, or name it: “approve” and the approval's id."
    elif _HOW_TO_STOP.search(text.low):
        message = "Say “cancel” or “retry” and the task's id, for instance: cancel task_k3v9x2m1q8ab."
    elif is_about_the_assistant(text):
        message = help_text(handles.recipes, handles.has_model)
    elif _THANKS.search(text.low):
        message, suggestions = "You're welcome.", ()
    elif _BYE.search(text.low):
        message, suggestions = "Goodbye. Tasks go on, and this conversation is kept.", ()
    else:
        message = "I change code: tell me what should be different and in which repository, or ask “what can you do?”."
        suggestions = ("what can you do?", *suggestions[:3])
    if draft is not None and draft.asked is not None:
        message, suggestions = f"{message}\nStill open: {draft.asked.question}", draft.asked.suggestions
    return {**state, "reply": Reply(message, "general_query", suggestions=suggestions)}


def help_text(recipes: RecipeBook, has_model: bool) -> str:
    known = "\n".join(f"- {recipe.summary}: “{recipe.example}”" for recipe in recipes.all())
    rest = "Anything else is done by the configured model." if has_model else "Anything else needs a model, and none is configured."
    return (
        "I bring a request to a tested pull request, and ask for your approval on the way. Without a model I can do this:\n"
        f"{known}\n{rest} You can also ask for a task's status, approve or reject what waits, cancel a task and retry it."
    )
