"""The HTTP application: every noun's routes behind one guard. Importing this does nothing; `build_app` opens nothing."""

from __future__ import annotations

from importlib.metadata import version
from typing import TYPE_CHECKING

from fastapi import FastAPI
from fastapi.routing import APIRoute
from starlette.middleware import Middleware

from agent_orchestrator import errors
from agent_orchestrator.approvals.routes import router as approvals_router
from agent_orchestrator.chat.routes import router as chat_router
from agent_orchestrator.guard import Guard
from agent_orchestrator.health.routes import router as health_router
from agent_orchestrator.idempotency import AnsweredError, replay
from agent_orchestrator.identity.routes import router as identity_router
from agent_orchestrator.identity.service import Identity, require_safe_binding
from agent_orchestrator.identity.token import load_or_create_token
from agent_orchestrator.lifespan import build_lifespan
from agent_orchestrator.model_keys.routes import router as model_keys_router
from agent_orchestrator.models.routes import router as models_router
from agent_orchestrator.projects.routes import router as projects_router
from agent_orchestrator.pulls.routes import router as pulls_router
from agent_orchestrator.quota.routes import router as quota_router
from agent_orchestrator.tasks.output_routes import router as outputs_router
from agent_orchestrator.tasks.routes import router as tasks_router
from agent_orchestrator.tasks.stream_routes import router as streams_router
from config.settings import Settings
from shared.types import Json

if TYPE_CHECKING:
    from agent_orchestrator.resources import Resources

ROUTERS = (
    chat_router,
    tasks_router,
    streams_router,
    outputs_router,
    approvals_router,
    projects_router,
    pulls_router,
    identity_router,
    models_router,
    model_keys_router,
    quota_router,
    health_router,
)


def build_app(
    settings: Settings,
    resources: Resources | None = None,
    *,
    worker: bool = True,
    default_repo: str | None = None,
    identity: Identity | None = None,
) -> FastAPI:
    """The application. Without `resources` its lifespan opens them, with a worker if `worker`.

    The token is the one of the settings, else that of the data folder, which is made if there is none. `SettingsError` when the
    address listened on would be reachable from outside without a long token.
    """
    if identity is None:
        require_safe_binding(settings.host, settings.token or load_or_create_token(settings.data_dir))
        identity = Identity(settings.token or load_or_create_token(settings.data_dir))
    app = FastAPI(
        title="Persevere",
        version=version("persevere"),
        docs_url=None,
        redoc_url=None,
        lifespan=build_lifespan(settings, identity, resources, worker=worker, default_repo=default_repo),
        middleware=[Middleware(Guard, identity=identity, host=settings.host)],
        generate_unique_id_function=_operation_id,
        redirect_slashes=False,
    )
    errors.install(app)
    app.add_exception_handler(AnsweredError, replay)
    for router in ROUTERS:
        app.include_router(router)
    _describe_problems(app)
    return app


def _describe_problems(app: FastAPI) -> None:
    """Put the schema that `errors.problems` refers to into the description."""
    described = app.openapi

    def openapi() -> Json:
        document = described()
        schema = errors.Problem.model_json_schema(ref_template="#/components/schemas/{model}")
        parts = schema.pop("$defs", {})
        document.setdefault("components", {}).setdefault("schemas", {}).update({"Problem": schema, **parts})
        return document

    app.openapi = openapi  # type: ignore[method-assign]


def _operation_id(route: APIRoute) -> str:
    return route.name
