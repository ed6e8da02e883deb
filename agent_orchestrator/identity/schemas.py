"""Answers about the caller and the models."""

from __future__ import annotations

from pydantic import BaseModel, Field


class Me(BaseModel):
    user_id: str
    roles: list[str] = Field(default_factory=list)


class SignInLink(BaseModel):
    """`path` signs in a browser once, within `expires_in_s` seconds."""

    path: str
    expires_in_s: int


class ModelView(BaseModel):
    name: str
    provider: str


class ModelList(BaseModel):
    """`reason` and `next_step` say why the list is empty."""

    items: list[ModelView]
    next_cursor: str | None = None
    reason: str | None = None
    next_step: str | None = None
