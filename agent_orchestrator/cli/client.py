"""One way to talk to the service: over HTTP to a server, or to the same application inside this process."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx

from agent_orchestrator.identity.service import is_loopback
from agent_orchestrator.identity.token import token_path
from config.settings import Settings
from shared.errors import PersevereError, UnauthorizedError, UnavailableError
from shared.types import Json

if TYPE_CHECKING:
    from shared.events.port import EventFeed

TIMEOUT = httpx.Timeout(60, connect=5)
DRAIN_S = 1.0
"""Somebody sits at the terminal: what they interrupted is not waited for, `persevere resume` does the step again."""
RECONNECT_S = 30.0


class RemoteError(PersevereError):
    """What the service answered instead, with its own code."""

    def __init__(self, problem: Json, status: int) -> None:
        message = str(problem.get("detail") or problem.get("title") or f"The server answered {status}.")
        super().__init__(message, str(problem.get("next_step") or ""), code=str(problem.get("code") or "http_error"))
        self.status = status
        self.problem = problem


@dataclass(frozen=True)
class Client:
    """`feed` follows events in this process; without it they are read as server-sent events."""

    http: httpx.AsyncClient
    feed: EventFeed | None = None

    async def get(self, path: str, **parameters: object) -> Any:
        """The JSON of an answer. `RemoteError` for a problem document, `UnavailableError` when nobody answers."""
        return (
            await self._send(
                "GET",
                path,
                params={key: str(value) for key, value in parameters.items() if value is not None},
                headers={"Accept": "application/json"},
            )
        ).json()

    async def text(self, path: str) -> str:
        return (await self._send("GET", path)).text

    async def post(self, path: str, body: Json | None = None) -> Any:
        """Sent with an idempotency key of its own."""
        return (await self._send("POST", path, json=body or {}, headers={"Idempotency-Key": uuid.uuid4().hex})).json()

    async def put(self, path: str, body: Json) -> Any:
        return (await self._send("PUT", path, json=body)).json()

    async def delete(self, path: str) -> None:
        await self._send("DELETE", path)

    async def _send(self, method: str, path: str, **options: Any) -> httpx.Response:
        try:
            response = await self.http.request(method, path, **options)
        except httpx.TransportError as exc:
            raise _nobody_answers(self.http) from exc
        if response.is_success:
            return response
        raise _problem(response)

    def follow(self, task_id: str, after: int = 0) -> AsyncIterator[Json]:
        """Public events with `seq > after`: stored ones, then live ones, to the task's end. Broken connections are taken up again."""
        return self._follow_feed(self.feed, task_id, after) if self.feed is not None else self._follow_http(task_id, after)

    async def _follow_feed(self, feed: EventFeed, task_id: str, after: int) -> AsyncIterator[Json]:
        stream: Any = feed.follow(task_id, after)
        async with aclosing(stream):
            async for event in stream:
                yield json.loads(json.dumps(event.public(), default=str))

    async def _follow_http(self, task_id: str, after: int) -> AsyncIterator[Json]:
        from httpx_sse import SSEError, aconnect_sse

        failing_since: float | None = None
        clock = asyncio.get_running_loop().time
        last = ""
        while True:
            headers = {"Accept": "text/event-stream", "Last-Event-ID": str(after)}
            try:
                async with aconnect_sse(self.http, "GET", f"/tasks/{task_id}/events", headers=headers) as source:
                    if not source.response.is_success:
                        await source.response.aread()
                        raise _problem(source.response)
                    async for message in source.aiter_sse():
                        failing_since = None
                        event = json.loads(message.data) if message.data else {}
                        if "seq" not in event:
                            continue
                        after, last = int(event["seq"]), str(event["type"])
                        yield event
            except (httpx.TransportError, SSEError) as exc:
                failing_since = failing_since or clock()
                if clock() - failing_since > RECONNECT_S:
                    raise _nobody_answers(self.http) from exc
            if last == "task_completed" and failing_since is None:
                return
            await asyncio.sleep(0.5)


def _problem(response: httpx.Response) -> PersevereError:
    try:
        problem = response.json()
    except ValueError:
        problem = {}
    if response.status_code == 401:
        return UnauthorizedError("The server does not accept the token.", "Set PERSEVERE_TOKEN to the token of that server.")
    return RemoteError(problem if isinstance(problem, dict) else {}, response.status_code)


def _nobody_answers(http: httpx.AsyncClient) -> UnavailableError:
    return UnavailableError(f"No server answers at {http.base_url}.", "Start one with `persevere serve`, or leave --url out.")


@asynccontextmanager
async def open_client(settings: Settings, url: str = "", *, worker: bool = False) -> AsyncIterator[Client]:
    """Against the server at `url`, or in this process; with `worker` runs are served here too."""
    if url:
        async with httpx.AsyncClient(
            base_url=url.rstrip("/"), headers=_authorization(settings, url), timeout=TIMEOUT, trust_env=False
        ) as http:
            yield Client(http)
        return
    async with _open_in_process(settings, worker) as client:
        yield client


@asynccontextmanager
async def _open_in_process(settings: Settings, worker: bool) -> AsyncIterator[Client]:
    from agent_orchestrator.app import build_app
    from agent_orchestrator.identity.token import load_or_create_token
    from agent_orchestrator.resources import open_resources

    settings = settings.model_copy(update={"worker_drain_s": min(settings.worker_drain_s, DRAIN_S)})
    async with open_resources(settings, worker=worker) as resources:
        app = build_app(settings, resources=resources)
        token = settings.token or load_or_create_token(settings.data_dir)
        transport = httpx.ASGITransport(app=app, raise_app_exceptions=False, client=("127.0.0.1", 0))
        async with app.router.lifespan_context(app):
            headers = {"Authorization": f"Bearer {token}"}
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1", headers=headers, timeout=None) as http:
                yield Client(http, resources.feed)


def _authorization(settings: Settings, url: str) -> dict[str, str]:
    """The given token; for a server on this machine the stored one."""
    token = settings.token
    path = token_path(settings.data_dir)
    if token is None and is_loopback(httpx.URL(url).host.strip("[]")) and path.is_file():
        token = path.read_text(encoding="ascii").strip()
    return {"Authorization": f"Bearer {token}"} if token else {}
