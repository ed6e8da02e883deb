"""Answers about models."""

from __future__ import annotations

from pydantic import BaseModel, Field

from shared.models.registry import Choice


class ModelView(BaseModel):
    """A model that a task may name. US dollars for a million tokens; null: the price is unknown, and so is the cost of its tasks."""

    name: str
    provider: str
    chosen: bool = Field(default=False, description="The model of tasks that name none.")
    input_usd: float | None = None
    output_usd: float | None = None
    priced_as_of: str | None = Field(default=None, description="When the price was read (YYYY-MM-DD); null where nobody said.")
    own_key: bool = Field(default=False, description="Your own key is used, not the server's.")

    @classmethod
    def of(cls, choice: Choice) -> ModelView:
        return cls(
            name=choice.name,
            provider=choice.provider,
            chosen=choice.chosen,
            input_usd=choice.input_usd,
            output_usd=choice.output_usd,
            priced_as_of=choice.priced_as_of or None,
            own_key=choice.own_key,
        )


class UnusableModel(BaseModel):
    """A model that could be named if what it lacks were there."""

    name: str
    provider: str
    reason: str
    next_step: str

    @classmethod
    def of(cls, choice: Choice) -> UnusableModel:
        return cls(name=choice.name, provider=choice.provider, reason=choice.reason, next_step=choice.next_step)


class ModelList(BaseModel):
    """`items` are usable now, `unusable` are not. `reason` and `next_step` say why tasks that name no model go by recipes."""

    items: list[ModelView]
    next_cursor: str | None = None
    reason: str | None = None
    next_step: str | None = None
    unusable: list[UnusableModel] = Field(default_factory=list)
