"""Opens what the service needs when it starts and closes it when it stops."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import FastAPI

from agent_orchestrator.dependencies import Services
from agent_orchestrator.identity.service import Identity
from agent_orchestrator.streams import Streams
from config.settings import Settings

if TYPE_CHECKING:
    from agent_orchestrator.resources import Resources

Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


def build_lifespan(
    settings: Settings, identity: Identity, resources: Resources | None, *, worker: bool, default_repo: str | None
) -> Lifespan:
    """With `resources` those are used and stay open; else they are opened here, with a worker if `worker`."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        from agent_orchestrator.resources import open_resources

        async with AsyncExitStack() as stack:
            opened = resources if resources is not None else await stack.enter_async_context(open_resources(settings, worker=worker))
            streams = Streams()
            stack.callback(streams.stop)
            services = app.state.services = wire(settings, identity, opened, streams, default_repo)
            if opened.worker is not None:
                _ = services.conversation.graph  # before the first message, which would wait for it
            yield

    return lifespan


def wire(settings: Settings, identity: Identity, resources: Resources, streams: Streams, default_repo: str | None) -> Services:
    """The services of a process, each given what it needs."""
    from agent_orchestrator.approvals.service import ApprovalService
    from agent_orchestrator.conversation.service import Conversation
    from agent_orchestrator.tasks.service import TaskService

    tasks, approvals = TaskService(resources), ApprovalService(resources)
    return Services(
        settings=settings,
        resources=resources,
        tasks=tasks,
        approvals=approvals,
        conversation=Conversation(resources, tasks, approvals),
        identity=identity,
        streams=streams,
        default_repo=default_repo,
    )


def repository_here(folder: Path | None = None) -> str | None:
    """The folder (the current one) when it is inside a git repository."""
    folder = (folder or Path(os.getcwd())).resolve()
    for place in (folder, *folder.parents):
        if (place / ".git").exists():
            return str(place)
    return str(folder) if (folder / "HEAD").is_file() and (folder / "objects").is_dir() else None
