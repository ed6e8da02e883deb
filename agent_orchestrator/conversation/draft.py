"""A request that still lacks something: what was said, what is known and what was asked."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from shared.recipes.port import MissingSlot, RecipeMatch
from shared.types import Json

REPOSITORY = "repository"
DETAILS = "details"


@dataclass(frozen=True)
class Draft:
    """`missing` are the open questions in order; the first one is asked. `recipe` is None for work that needs a model."""

    text: str
    task_type: str | None = None
    recipe: str | None = None
    slots: Json | None = None
    missing: tuple[MissingSlot, ...] = ()
    context: Json | None = None
    """File and selection the request was made with."""

    @property
    def asked(self) -> MissingSlot | None:
        return self.missing[0] if self.missing else None

    def to_json(self) -> Json:
        return {**asdict(self), "missing": [asdict(slot) for slot in self.missing], "asked": self.asked.name if self.asked else None}

    @staticmethod
    def from_json(data: dict[str, Any] | None) -> Draft | None:
        if not data:
            return None
        missing = tuple(MissingSlot(slot["name"], slot["question"], tuple(slot["suggestions"])) for slot in data["missing"])
        return Draft(data["text"], data["task_type"], data["recipe"], data["slots"], missing, data.get("context"))

    def with_match(self, match: RecipeMatch) -> Draft:
        return replace(self, recipe=match.recipe, slots=match.slots, missing=match.missing)

    def filled(self, slots: Json) -> Draft:
        return replace(self, slots=slots, missing=self.missing[1:])

    def lacking(self, slot: MissingSlot) -> Draft:
        return replace(self, missing=(*self.missing, slot))
