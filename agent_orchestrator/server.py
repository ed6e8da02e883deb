"""Runs the service: binds, opens, serves, and ends its streams when it is told to stop."""

from __future__ import annotations

import errno
import gc
import socket
from collections.abc import Callable

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.http11 import Request

from agent_orchestrator.app import build_app
from agent_orchestrator.event_stream import ABORT
from agent_orchestrator.guard import MAX_BODY
from agent_orchestrator.identity.service import Identity, require_safe_binding
from agent_orchestrator.identity.token import load_or_create_token
from agent_orchestrator.lifespan import repository_here
from agent_orchestrator.streams import Streams
from config.settings import Settings
from shared.errors import SettingsError

GRACE_S = 10
KEEP_ALIVE_S = 75
"""Longer than clients and proxies keep an idle connection: whoever closes first must be the one that sends."""


class HttpConnection(HttpToolsProtocol):
    """Lets a stream drop a client that reads nothing: closing would wait until it has read what was sent."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["extensions"] = {ABORT: self.transport.abort}  # type: ignore[dict-item]


class SocketConnection(WebSocketsSansIOProtocol):
    """The same over a WebSocket."""

    def handle_connect(self, event: Request) -> None:
        super().handle_connect(event)
        if self.response.status_code == 101:
            self.scope["extensions"][ABORT] = self.transport.abort  # type: ignore[assignment]


class Server(uvicorn.Server):
    """Ends the streams before it waits for connections to close: they would never end by themselves."""

    def __init__(self, config: uvicorn.Config, streams: Callable[[], Streams], on_started: Callable[[], None]) -> None:
        super().__init__(config)
        self._streams, self._on_started = streams, on_started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._on_started()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        self._streams().stop()
        await super().shutdown(sockets)


async def serve(
    settings: Settings, *, worker: bool, default_repo: str | None = None, on_ready: Callable[[str, str], None] | None = None
) -> None:
    """Serve until SIGINT or SIGTERM. `on_ready(url, sign_in_link)` is called when requests are answered.

    `default_repo` is worked on when a message names no repository; None: the repository of the current folder, if it is in one.

    `SettingsError` for a port in use or an unsafe address; `UnavailableError` when the database cannot be opened.
    """
    from agent_orchestrator.resources import open_resources

    token = settings.token or load_or_create_token(settings.data_dir)
    require_safe_binding(settings.host, token)
    with bind(settings.host, settings.port) as listening:
        url = address(settings.host, listening.getsockname()[1])
        identity = Identity(token)
        async with open_resources(settings, worker=worker) as resources:
            app = build_app(settings, resources, default_repo=default_repo or repository_here(), identity=identity)

            def started() -> None:
                if on_ready:
                    on_ready(url, f"{url}/auth/sign-in/{identity.new_code()}")
                gc.collect()
                gc.freeze()  # What was imported stays: looking through it again and again would hold up requests for 0.1 s.

            await Server(configure(app, settings), lambda: app.state.services.streams, started).serve(sockets=[listening])


def configure(app: object, settings: Settings) -> uvicorn.Config:
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        http=HttpConnection,
        ws=SocketConnection,
        ws_per_message_deflate=False,
        ws_max_size=MAX_BODY,
        log_level=settings.log_level,
        access_log=settings.log_level == "debug",
        server_header=False,
        proxy_headers=False,
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
        lifespan="on",
    )


def bind(host: str, port: int) -> socket.socket:
    """A listening socket. `SettingsError` when the port is in use or the address is not this machine's."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # named, or asyncio leaves Nagle on: 40 ms a turn
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(2048)
    except OSError as exc:
        listening.close()
        if exc.errno == errno.EADDRINUSE:
            raise SettingsError(f"Port {port} of {host} is in use.", "Stop what uses it, or set PERSEVERE_PORT to another one.") from exc
        raise SettingsError(f"Persevere cannot listen on {host}:{port}.", "Set PERSEVERE_HOST and PERSEVERE_PORT.") from exc
    listening.setblocking(False)
    return listening


def address(host: str, port: int) -> str:
    """The URL a browser on this machine can use."""
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"
