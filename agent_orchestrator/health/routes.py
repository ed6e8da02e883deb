"""Liveness, readiness, metrics and the start page: open to everybody, without anything of anybody."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.responses import PlainTextResponse, Response

from agent_orchestrator.dependencies import Given
from agent_orchestrator.errors import problem, problem_response, problems
from agent_orchestrator.health import service
from agent_orchestrator.health.schemas import Alive, Pointer, Readiness

router = APIRouter(tags=["health"])

METRICS = "text/plain; version=0.0.4; charset=utf-8"


@router.get("/", response_model=Pointer, responses=problems())
async def start() -> Pointer:
    """What this is."""
    return Pointer()


@router.get("/ping", response_class=PlainTextResponse, responses=problems())
async def ping() -> str:
    """`pong`."""
    return "pong"


@router.get("/healthz", response_model=Alive, responses=problems())
async def healthz() -> Alive:
    """The process answers."""
    return Alive()


@router.get("/readyz", response_model=Readiness, responses=problems())
async def readyz(given: Given) -> Readiness | Response:
    """Whether work can be done; 503 says which dependency is missing."""
    found = await service.readiness(given)
    if found.status == "ready":
        return found
    missing = [item for item in found.dependencies if item.required and not item.ok]
    detail = " ".join(f"{item.name}: {item.detail}" for item in missing)
    next_step = " ".join(item.next_step for item in missing if item.next_step)
    return problem_response(problem(503, "not_ready", detail, next_step, **found.model_dump(exclude={"status"})))


@router.get("/metrics", response_class=PlainTextResponse, responses=problems())
async def metrics(given: Given) -> Response:
    """Prometheus' text format."""
    return Response(await service.exposition(given), headers={"Content-Type": METRICS})
