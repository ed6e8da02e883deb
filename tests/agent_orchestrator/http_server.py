"""A real server on a free loopback port, and stock clients for it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

from agent_orchestrator.app import build_app
from agent_orchestrator.dependencies import Services
from agent_orchestrator.identity.service import Identity
from agent_orchestrator.resources import Resources
from agent_orchestrator.server import Server, address, bind, configure
from shared.events import store as events_store
from shared.store import approvals, runs, tasks
from shared.store.records import Approval, Task
from shared.types import Gate, Json, Risk, RiskLevel, Stage, new_id

TOKEN = "a-token-for-tests-that-is-long-enough-to-be-one"


@dataclass
class Running:
    """A server that answers at `url`; `stop()` tells it to stop and waits for that."""

    url: str
    server: Server
    serving: asyncio.Task[None]
    services: Services
    identity: Identity

    def client(self, **options: object) -> httpx.AsyncClient:
        """A client with the bearer token, unless `headers` are given."""
        given = {"headers": {"Authorization": f"Bearer {TOKEN}"}, "timeout": 20.0, "trust_env": False, **options}
        return httpx.AsyncClient(base_url=self.url, **given)  # type: ignore[arg-type]

    async def stop(self) -> None:
        self.server.should_exit = True
        await self.serving


@asynccontextmanager
async def run_server(resources: Resources) -> AsyncIterator[Running]:
    identity = Identity(TOKEN)
    app = build_app(resources.settings, resources, identity=identity)
    started = asyncio.Event()
    listening = bind("127.0.0.1", 0)
    server = Server(configure(app, resources.settings), lambda: app.state.services.streams, started.set)
    serving = asyncio.create_task(server._serve([listening]))
    await asyncio.wait({serving, asyncio.create_task(started.wait())}, return_when=asyncio.FIRST_COMPLETED)
    running = Running(address("127.0.0.1", listening.getsockname()[1]), server, serving, app.state.services, identity)
    try:
        yield running
    finally:
        await running.stop()


async def insert_task(resources: Resources, repo: Path, **fields: object) -> Task:
    """A task row with its run and no job: nothing works on it."""
    values: Json = {"id": new_id("task"), "user_id": "local", "title": "t", "prompt": "p", "repo": str(repo), **fields}
    async with resources.database.transaction() as tx:
        task = Task(**values)
        await tasks.insert(tx, task)
        await runs.insert(tx, task.id)
    return task


async def append_logs(resources: Resources, task_id: str, count: int, first: int = 0) -> None:
    async with resources.database.transaction() as tx:
        new: list[tuple[str, Json]] = [("log", {"level": "info", "message": f"line {first + index}"}) for index in range(count)]
        await events_store.append(tx, task_id, Stage.CODING, new)


async def finish_task(resources: Resources, task_id: str) -> None:
    """The last event of a task."""
    async with resources.database.transaction() as tx:
        await events_store.append(tx, task_id, Stage.REPORT, [("task_completed", {"final_status": "completed"})])


async def insert_approval(resources: Resources, task_id: str, gate: Gate = Gate.PLAN) -> Approval:
    approval = Approval(
        id=new_id("approval"),
        task_id=task_id,
        gate=gate,
        title="Plan",
        subject={"plan": {"summary": "s"}},
        risk=Risk(level=RiskLevel.LOW),
        content_sha256="0" * 64,
    )
    async with resources.database.transaction() as tx:
        await approvals.insert(tx, approval)
    return approval
