"""Answers about the caller."""

from __future__ import annotations

from pydantic import BaseModel, Field


class Me(BaseModel):
    user_id: str
    roles: list[str] = Field(default_factory=list)


class SignInLink(BaseModel):
    """`path` signs in a browser once, within `expires_in_s` seconds."""

    path: str
    expires_in_s: int
