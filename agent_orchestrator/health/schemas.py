"""Answers about the service itself."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel


class Alive(BaseModel):
    status: Literal["ok"] = "ok"


class Dependency(BaseModel):
    """`required` says whether the service is unready without it."""

    name: str
    ok: bool
    detail: str
    next_step: str = ""
    required: bool = True


class Readiness(BaseModel):
    status: Literal["ready", "not_ready"]
    dependencies: list[Dependency]


class Pointer(BaseModel):
    """The start page: what this is and where its description is."""

    name: str = "Persevere"
    description: str = "Takes a request in plain language and brings it to a tested pull request."
    openapi: str = "/openapi.json"
    readiness: str = "/readyz"
