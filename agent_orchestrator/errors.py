"""Every failure as an RFC 9457 problem document, made in one place."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, ConfigDict, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from shared.errors import PersevereError
from shared.types import Json

logger = logging.getLogger("persevere.http")

PROBLEM = "application/problem+json"


class TooLargeError(PersevereError):
    code = "too_large"
    status = 413


class UnsupportedMediaError(PersevereError):
    code = "unsupported_media_type"
    status = 415


class FieldProblem(BaseModel):
    """One wrong field of a request: its path, such as `context.selection.start_line`, and what is wrong with it."""

    field: str
    message: str


class Problem(BaseModel):
    """RFC 9457 problem details. `errors` lists the fields of a request that are wrong; `current` is the state a conflict met."""

    model_config = ConfigDict(extra="allow")

    type: str
    title: str
    status: int
    detail: str
    code: str
    next_step: str
    errors: list[FieldProblem] | None = Field(default=None)
    current: Json | None = Field(default=None)


def problem(status: int, code: str, detail: str, next_step: str = "", **more: Any) -> Json:
    """The document's members. `more` that is None is left out."""
    try:
        title = HTTPStatus(status).phrase
    except ValueError:
        title = "Error"
    document = {
        "type": f"urn:persevere:problem:{code}",
        "title": title,
        "status": status,
        "detail": detail,
        "code": code,
        "next_step": next_step,
    }
    return document | {key: value for key, value in more.items() if value is not None}


def of_error(error: PersevereError) -> Json:
    """The document of a typed error; its `details` are further members, such as the `current` state that a conflict met."""
    return problem(error.status, error.code, error.message, error.next_step, **error.details)


def problem_response(document: Json, headers: Mapping[str, str] | None = None) -> Response:
    status = document["status"]
    extra = dict(headers or {})
    if status == 401:
        extra.setdefault("WWW-Authenticate", 'Bearer realm="persevere"')
    if status == 503:
        extra.setdefault("Retry-After", "2")
    body = json.dumps(document, ensure_ascii=False, default=str).encode("utf-8", "replace")
    return Response(body, status_code=status, media_type=PROBLEM, headers=extra)


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses=` of a route: those every route can answer with, and `statuses`."""
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {PROBLEM: {"schema": {"$ref": "#/components/schemas/Problem"}}}}
        for status in sorted({401, 403, 422, 500, 503, *statuses})
    }


BODY = (400, 408, 413, 415, 422)
"""What a route with a request body can refuse it with."""


def install(app: FastAPI) -> None:
    """Make the app answer every exception with a problem document."""
    app.add_exception_handler(PersevereError, _persevere_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _unhandled)


async def _persevere_error(_request: Request, exc: Exception) -> Response:
    assert isinstance(exc, PersevereError)
    if exc.status >= 500:
        logger.warning("%s: %s", exc.code, exc.message)
    wait_s = exc.details.get("retry_after_s")
    return problem_response(of_error(exc), None if wait_s is None else {"Retry-After": str(wait_s)})


async def _validation_error(_request: Request, exc: Exception) -> Response:
    assert isinstance(exc, RequestValidationError)
    errors = exc.errors()
    if any(error["type"] == "json_invalid" for error in errors):
        detail = f"The request body is not JSON: {errors[0].get('ctx', {}).get('error', 'it cannot be parsed')}."
        return problem_response(problem(400, "malformed_json", detail, "Send a JSON object."))
    fields = [
        {"field": ".".join(str(part) for part in error["loc"][1:]) or str(error["loc"][0]), "message": error["msg"]} for error in errors
    ]
    named = "; ".join(f"{field['field']}: {field['message']}" for field in fields[:5])
    detail = f"The request is not valid. {named}."
    return problem_response(problem(422, "validation_failed", detail, "Correct the fields that `errors` lists.", errors=fields[:50]))


_HTTP: dict[int, tuple[str, str, str]] = {
    400: ("bad_request", "The request cannot be read.", "Send UTF-8 encoded JSON."),
    404: ("route_not_found", "There is nothing at this address.", "GET /openapi.json lists every address."),
    405: ("method_not_allowed", "This address does not take this method.", "The `Allow` header lists those it takes."),
}


async def _http_error(request: Request, exc: Exception) -> Response:
    assert isinstance(exc, HTTPException)
    code, detail, next_step = _HTTP.get(exc.status_code, ("http_error", str(exc.detail), ""))
    headers = dict(exc.headers or {})
    return problem_response(problem(exc.status_code, code, detail, next_step), headers)


async def _unhandled(request: Request, exc: Exception) -> Response:
    """Without internals; `ServerErrorMiddleware` raises it again for the log."""
    return problem_response(
        problem(500, "internal_error", "Something went wrong inside Persevere; the request was not completed.", "Look in the server's log.")
    )
