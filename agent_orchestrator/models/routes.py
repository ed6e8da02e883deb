"""The models there are."""

from __future__ import annotations

from fastapi import APIRouter

from agent_orchestrator.dependencies import Given
from agent_orchestrator.errors import problems
from agent_orchestrator.models.schemas import ModelList, ModelView, UnusableModel
from shared.models.names import NONE
from shared.models.registry import choices

router = APIRouter(tags=["models"])


@router.get("/models", response_model=ModelList, responses=problems())
async def list_models(given: Given) -> ModelList:
    """The models your tasks may name now, with the server's keys and yours, and why the others cannot be used."""
    found = choices(given.settings, await given.resources.keys_of(given.user_id))
    listed = ModelList(
        items=[ModelView.of(choice) for choice in found if not choice.reason],
        unusable=[UnusableModel.of(choice) for choice in found if choice.reason],
    )
    if given.settings.model == NONE:
        others = " unless they name one of these" if listed.items else ""
        listed.reason = f"No model is configured: tasks are done by recipes{others}."
        listed.next_step = "Recipes are: " + ", ".join(recipe.name for recipe in given.resources.recipes.all()) + "."
    return listed
