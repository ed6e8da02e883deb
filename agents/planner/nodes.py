"""Makes a plan: by a recipe where one fits, else by a model."""

from __future__ import annotations

import re

from langgraph.runtime import Runtime

from agents.context import TaskContext
from agents.planner.state import PlannerState
from shared.errors import TaskFailedError
from shared.recipes.port import NotApplicable, NothingToDo, RecipeBook
from shared.types import Json, Stage, TaskStatus, canonical_json, sha256_hex

_INSTEAD = re.compile(r"[\s,]*\binstead\b[\s.!]*$", re.IGNORECASE)
_FROM_THE_BASE: PlannerState = {"feedback": None, "patch_sha256": None, "draft_sha256": None, "test_results": None, "repairs": 0}
"""Where the work on a new plan begins: nothing that was made or found out before is about it."""


async def plan_by_recipe(state: PlannerState, runtime: Runtime[TaskContext]) -> PlannerState:
    """Look at the base commit and answer a typed plan, or why nothing is to do."""
    context = runtime.context
    try:
        name, slots = choose_recipe(context, state.get("feedback") or context.task.request.get("hint"))
    except TaskFailedError as error:
        if context.models is None or error.code != "model_required":
            raise
        return {"by_model": True}
    await context.journal.update(Stage.PLANNING, TaskStatus.PLANNING, details=f"planning with the recipe {name}")
    recipe = context.recipes.get(name)
    async with context.workspaces.open("plan") as workspace:
        outcome = await recipe.plan(slots, context.task.prompt, workspace)
    if isinstance(outcome, NothingToDo):
        await context.journal.log(Stage.PLANNING, outcome.reason)
        return {**_FROM_THE_BASE, "plan": None, "nothing_to_do": outcome.reason}
    if isinstance(outcome, NotApplicable):
        if context.models is not None and outcome.code == NotApplicable.code:
            await context.journal.log(Stage.PLANNING, outcome.reason)
            return {"by_model": True}
        raise TaskFailedError(outcome.reason, outcome.next_step, code=outcome.code)
    plan = outcome.plan.model_dump(mode="json")
    if state.get("feedback") and state.get("plan") and canonical_json(plan) == canonical_json(state["plan"]):
        if context.models is not None:
            return {"by_model": True}
        raise TaskFailedError(
            "The recipe makes the same plan again, so the comment cannot be followed without a model.",
            f"Send a new request, or set a model: {model_settings()}",
            code="same_plan_again",
        )
    await context.journal.update(
        Stage.PLANNING,
        plan=plan,
        details=f"planned: {outcome.plan.summary}",
        events=[("plan_ready", {"plan": plan, "content_sha256": sha256_hex(canonical_json(plan))})],
    )
    return {**_FROM_THE_BASE, "plan": plan, "risk": outcome.risk.model_dump(mode="json"), "nothing_to_do": None}


async def plan_by_model(state: PlannerState, runtime: Runtime[TaskContext]) -> PlannerState:
    """No recipe fits: a model reads the repository and plans."""
    from agents.planner.by_model import ask_for_plan

    return await ask_for_plan(runtime.context, state, lambda: runtime.drain_requested)


async def tell_plan(state: PlannerState, runtime: Runtime[TaskContext]) -> PlannerState:
    """A step of its own: however often the asking was gone on with, its plan is told once. The plan is in the checkpoint now."""
    assert runtime.context.steps is not None
    plan = state["plan"]
    assert plan is not None
    event = ("plan_ready", {"plan": plan, "content_sha256": sha256_hex(canonical_json(plan))})
    await runtime.context.journal.update(Stage.PLANNING, plan=plan, details=f"planned: {plan['summary']}", events=[event])
    await runtime.context.steps.forget()
    return _FROM_THE_BASE


def choose_recipe(context: TaskContext, feedback: str | None) -> tuple[str, Json]:
    """The recipe and its slots: from the comment or hint, the conversation, or the prompt. Raises `model_required`."""
    if feedback:
        match = context.recipes.parse(_INSTEAD.sub("", feedback), context.config)
        if match is not None and not match.missing:
            return match.recipe, match.slots
    chosen = context.task.request.get("recipe")
    if chosen:
        return str(chosen["name"]), dict(chosen["slots"])
    match = context.recipes.parse(context.task.prompt, context.config)
    if match is not None and not match.missing:
        return match.recipe, match.slots
    if match is not None:
        questions = " ".join(slot.question for slot in match.missing)
        raise TaskFailedError(
            f"The request lacks something: {questions}", "Send it again with the answer in it.", code="missing_information"
        )
    raise TaskFailedError(
        "No recipe can do this, and no model is configured.",
        f"Set a model and retry the task: {model_settings()} Without a model these recipes work: {recipe_names(context.recipes)}.",
        code="model_required",
    )


def model_settings() -> str:
    return (
        "PERSEVERE_MODEL=openai:NAME with OPENAI_API_KEY, anthropic:NAME with ANTHROPIC_API_KEY, "
        "google_genai:NAME with GOOGLE_API_KEY, or openai-compatible:NAME with OPENAI_BASE_URL."
    )


def recipe_names(book: RecipeBook) -> str:
    return ", ".join(recipe.name for recipe in book.all())
