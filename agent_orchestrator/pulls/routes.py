"""Pull requests of the local forge, as JSON or as a page."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Query
from starlette.responses import HTMLResponse, JSONResponse, Response

from agent_orchestrator.dependencies import Given, Paged
from agent_orchestrator.errors import problems
from agent_orchestrator.pulls.page import POLICY, render
from agent_orchestrator.pulls.schemas import PullList, PullView
from agent_orchestrator.tasks.output_routes import load_patch
from shared.errors import NotFoundError
from shared.store import pull_requests

router = APIRouter(tags=["pulls"])

PAGE: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/html": {"schema": {"type": "string"}}}, "description": "The pull request, as JSON or as a page"}
}


@router.get("/pulls", response_model=PullList, responses=problems(422))
async def list_pulls(given: Given, paged: Paged, repo: Annotated[str | None, Query(max_length=4096)] = None) -> PullList:
    """The local pull requests of your tasks, newest first."""
    async with given.resources.database.connection() as tx:
        found, cursor = await pull_requests.list_(tx, repo, user_id=given.user_id, limit=paged.limit, cursor=paged.cursor)
    return PullList(items=[PullView.of(item) for item in found], next_cursor=cursor)


@router.get("/pulls/{pull_id}", response_model=PullView, responses=problems(404) | PAGE)
async def get_pull(pull_id: str, given: Given, accept: Annotated[str, Header()] = "") -> Response:
    """One pull request with its diff; a page when `Accept` names text/html."""
    async with given.resources.database.connection() as tx:
        pull = await pull_requests.get(tx, pull_id)
    if pull is None:
        raise NotFoundError(f"There is no pull request {pull_id}.", "GET /pulls lists them.", code="pull_not_found")
    await given.tasks.get(pull.task_id, given.user_id)
    try:
        diff = (await load_patch(given, pull.task_id)).decode("utf-8", "replace")
    except NotFoundError:
        diff = None
    view = PullView.of(pull, diff)
    if "text/html" in accept.lower():
        return HTMLResponse(render(view), headers={"Content-Security-Policy": POLICY})
    return JSONResponse(view.model_dump(mode="json"))
