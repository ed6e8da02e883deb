"""What every request passes before a route sees it: host, identity, origin, media type and size. Pure ASGI."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Literal
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from agent_orchestrator.errors import problem, problem_response
from agent_orchestrator.identity.service import Identity, is_loopback
from shared.types import Json

MAX_BODY = 1024 * 1024
DRAIN = 16 * MAX_BODY
"""How much of a too large body is read and dropped, so that the client reads the answer instead of a reset connection."""
BODY_TIMEOUT_S = 30.0
OPEN_PATHS = frozenset({"/", "/healthz", "/readyz", "/ping", "/metrics", "/openapi.json"})
OPEN_PREFIXES = ("/auth/sign-in/",)
SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
LOCAL_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})
BODY_KEY = "persevere.body"


class Guard:
    """ASGI middleware. `host` is the address listened on: a loopback one is only answered under a local name (DNS rebinding)."""

    def __init__(self, app: ASGIApp, *, identity: Identity, host: str) -> None:
        self.app = app
        self._identity = identity
        self._names = LOCAL_NAMES | {host.lower()} if is_loopback(host) else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers)
        if refusal is not None:
            await _refuse(scope, receive, send, refusal)
            return
        if scope["type"] == "http":
            send = _with_safe_headers(send)
            if scope["method"] not in SAFE:
                body = await _body(headers, receive)
                if not isinstance(body, bytes):
                    await _refuse(scope, receive, send, body, {"Connection": "close"})
                    return
                scope[BODY_KEY] = body
                receive = _replay(body, receive)
        await self.app(scope, receive, send)

    def _refusal(self, scope: Scope, headers: Headers) -> Json | None:
        host = headers.get("host", "")
        if self._names is not None and _name(host) not in self._names:
            return problem(
                403, "host_not_allowed", "This server is local and does not answer under this name.", "Use http://127.0.0.1 or localhost."
            )
        path: str = scope["path"]
        if path in OPEN_PATHS or path.startswith(OPEN_PREFIXES):
            return None
        by = self._identity.authenticate(headers.get("authorization", ""), headers.get("cookie", ""))
        if by is None:
            return problem(
                401,
                "unauthorized",
                "This address needs a valid bearer token.",
                "Send `Authorization: Bearer …` with the token of the data folder.",
            )
        unsafe = scope["type"] == "websocket" or scope["method"] not in SAFE
        if by == "cookie" and unsafe and not _same_origin(headers, host):
            return problem(403, "cross_origin", "This request came from another site.", "Use the console, or a bearer token.")
        return None


def _name(host: str) -> str:
    """The name of a Host header without its port, in lower case."""
    try:
        return (urlsplit(f"//{host}").hostname or "").lower()
    except ValueError:
        return ""


def _same_origin(headers: Headers, host: str) -> bool:
    """What a browser says about where a request comes from; a request that says nothing is not trusted."""
    site, origin = headers.get("sec-fetch-site"), headers.get("origin")
    if site is not None and site != "same-origin":
        return False
    if origin is not None:
        return urlsplit(origin).netloc.lower() == host.lower()
    return site is not None


async def _body(headers: Headers, receive: Receive) -> bytes | Json:
    """The whole body, or the problem with it."""
    too_large = problem(413, "body_too_large", f"The request body is larger than {MAX_BODY} bytes.", "Send less.")
    declared = headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > DRAIN:
        return too_large
    chunks: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            more = True
            while more and size <= DRAIN:
                message = await receive()
                if message["type"] == "http.disconnect":
                    return problem(400, "incomplete_body", "The connection ended before the request body did.", "Send it again.")
                chunk = message.get("body", b"")
                size += len(chunk)
                if size <= MAX_BODY:
                    chunks.append(chunk)
                else:
                    chunks.clear()
                more = message.get("more_body", False)
    except TimeoutError:
        return problem(408, "body_timeout", f"The request body did not arrive within {BODY_TIMEOUT_S:.0f} seconds.", "Send it again.")
    if size > MAX_BODY:
        return too_large
    if size and not _is_json(headers.get("content-type", "")):
        return problem(415, "unsupported_media_type", "The request body must be JSON.", "Send it with `Content-Type: application/json`.")
    return b"".join(chunks)


def _is_json(content_type: str) -> bool:
    media = content_type.partition(";")[0].strip().lower()
    return media == "application/json" or (media.startswith("application/") and media.endswith("+json"))


def _replay(body: bytes, receive: Receive) -> Receive:
    """Gives the body once, then what the server says next (a disconnect)."""
    given = False

    async def again() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again


def _with_safe_headers(send: Send) -> Send:
    async def wrapped(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["X-Content-Type-Options"] = "nosniff"
            headers["Referrer-Policy"] = "no-referrer"
            headers.setdefault("Cache-Control", "no-store")
            headers.setdefault("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox")
        await send(message)

    return wrapped


async def _refuse(scope: Scope, receive: Receive, send: Send, document: Json, headers: Mapping[str, str] | None = None) -> None:
    if scope["type"] == "http" or "websocket.http.response" in scope.get("extensions", {}):
        await problem_response(document, headers)(scope, receive, send)
    else:
        code: Literal[1008] = 1008
        await send({"type": "websocket.close", "code": code})
