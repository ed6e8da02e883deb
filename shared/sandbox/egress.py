"""The only way out of a sandbox: a reverse proxy to the configured package registries, outside, where the credentials stay.

It knows indexes by number and files by a token it gave out itself, so nothing inside can name an address of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import hashlib
import mimetypes
import os
import re
import secrets
import shutil
import socket
import ssl
import tempfile
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import h11
import httpx

from shared.sandbox.cgroup import process_start
from shared.sandbox.index_pages import Mapper, list_folder, rewrite_html, rewrite_json, rewrite_npm
from shared.sandbox.limits import CONNECTIONS
from shared.sandbox.registry_config import Origin, Registries, file_path

_MAX_PAGE = 128 * 1024 * 1024
_MAX_FILE = 4 * 1024 * 1024 * 1024
_CHUNK = 65536
_IDLE_S = 120.0
_CLOSING_S = 10.0
_NO_DESCRIPTOR_S = 0.5
_BACKLOG = 128
_FOLDER = "persevere-egress-"


class _Refused(Exception):
    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


@dataclass(frozen=True)
class _Answer:
    status: int
    headers: list[tuple[str, str]]
    body: AsyncIterator[bytes]


class EgressProxy:
    """Serves one sandbox. `port` is set when it listens on loopback, `socket` when on a unix socket."""

    def __init__(self, registries: Registries, client: httpx.AsyncClient) -> None:
        self._registries, self._client = registries, client
        self._token = secrets.token_urlsafe(18)
        self._files: dict[str, tuple[str, Origin]] = {}
        self._serving: set[asyncio.Task[None]] = set()
        self._room = asyncio.Semaphore(CONNECTIONS)
        self.port = 0
        self.socket: Path | None = None

    def environment(self, port: int) -> dict[str, str]:
        """What makes pip, uv and npm inside use this proxy; free of credentials."""
        base = f"http://127.0.0.1:{port}/{self._token}"
        indexes = [f"{base}/pip/{number}/" for number in range(len(self._registries.indexes))]
        links = " ".join(f"{base}/links/{number}/" for number in range(len(self._registries.links)))
        variables = {"PIP_NO_INDEX": "" if indexes else "1", "PIP_RETRIES": "2", "PIP_DEFAULT_TIMEOUT": "120"}
        if indexes:
            variables |= {"PIP_INDEX_URL": indexes[0], "UV_DEFAULT_INDEX": indexes[0]}
        if indexes[1:]:
            variables |= {"PIP_EXTRA_INDEX_URL": " ".join(indexes[1:]), "UV_INDEX": " ".join(indexes[1:])}
        if links:
            variables |= {"PIP_FIND_LINKS": links, "UV_FIND_LINKS": links.replace(" ", ",")}
        if self._registries.npm:
            variables["NPM_CONFIG_REGISTRY"] = f"{base}/npm/"
        return {name: value for name, value in variables.items() if value}

    async def listen(self, listener: socket.socket) -> None:
        """Serve until cancelled, so many connections at a time; the others wait in the backlog, where they cost us nothing."""
        try:
            while True:
                await self._room.acquire()
                client = await _accept(listener)
                task = asyncio.create_task(self._serve(client))
                self._serving.add(task)
                task.add_done_callback(functools.partial(self._forget, client))
        finally:
            for task in self._serving:
                task.cancel()
            await asyncio.gather(*self._serving, return_exceptions=True)

    def _forget(self, client: socket.socket, task: asyncio.Task[None]) -> None:
        self._serving.discard(task)
        self._room.release()
        if task.cancelled():
            client.close()

    async def _serve(self, client: socket.socket) -> None:
        """One connection, one request; when this returns, it is closed."""
        reader, writer = await asyncio.open_connection(sock=client)
        try:
            await self._converse(reader, writer)
            writer.close()
            with contextlib.suppress(OSError, TimeoutError):
                await asyncio.wait_for(writer.wait_closed(), _CLOSING_S)
        finally:
            writer.transport.abort()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = h11.Connection(h11.SERVER)
        try:
            request = await asyncio.wait_for(self._receive(connection, reader), _IDLE_S)
            if request is not None:
                await self._respond(connection, request, writer)
        except (h11.ProtocolError, OSError, TimeoutError, httpx.HTTPError):
            pass

    async def _receive(self, connection: h11.Connection, reader: asyncio.StreamReader) -> h11.Request | None:
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(await reader.read(_CHUNK))
            elif isinstance(event, h11.Request):
                return event
            else:
                return None

    async def _respond(self, connection: h11.Connection, request: h11.Request, writer: asyncio.StreamWriter) -> None:
        async with contextlib.AsyncExitStack() as stack:
            try:
                answer = await self._answer(request, stack)
            except _Refused as refused:
                answer = _text(refused.status, refused.reason)
            except (httpx.HTTPError, ValueError, KeyError, OSError):
                answer = _text(502, "The registry did not answer as a registry does.")
            headers = [*answer.headers, ("Connection", "close")]
            writer.write(connection.send(h11.Response(status_code=answer.status, headers=headers)) or b"")
            if request.method != b"HEAD":
                async for chunk in answer.body:
                    writer.write(connection.send(h11.Data(data=chunk)) or b"")
                    await asyncio.wait_for(writer.drain(), _IDLE_S)
            writer.write(connection.send(h11.EndOfMessage()) or b"")
            await asyncio.wait_for(writer.drain(), _IDLE_S)

    async def _answer(self, request: h11.Request, stack: contextlib.AsyncExitStack) -> _Answer:
        if request.method not in (b"GET", b"HEAD"):
            raise _Refused(403, "Only reading from the registries is allowed.")
        accept = next((value.decode("latin-1") for name, value in request.headers if name == b"accept"), "*/*")
        match = re.fullmatch(r"/([^/]+)/(pip|links|npm|file)/(.*)", request.target.decode("latin-1"))
        if match is None or not secrets.compare_digest(match[1].encode(), self._token.encode()):
            raise _Refused(403, "Only the configured package registries can be reached.")
        kind, rest = match[2], match[3]
        if any(part in ("..", ".") for part in unquote(rest.partition("?")[0]).replace("\\", "/").split("/")):
            raise _Refused(403, "A path may not go up.")
        if kind == "npm":
            return await self._npm(rest, accept, stack)
        number, _, name = rest.partition("/")
        if kind == "file":
            return await self._file(number, name, stack)
        origins = self._registries.indexes if kind == "pip" else self._registries.links
        if not number.isdigit() or int(number) >= len(origins):
            raise _Refused(404, "There is no such index.")
        origin = origins[int(number)]
        if kind == "links" and name:
            raise _Refused(404, "There is only the list.")
        url = origin.url if kind == "links" else f"{origin.url.rstrip('/')}/{name}"
        return await self._page(url, origin, accept, stack)

    async def _page(self, url: str, origin: Origin, accept: str, stack: contextlib.AsyncExitStack) -> _Answer:
        if url.startswith("file:"):
            text = await asyncio.to_thread(_local_page, file_path(url))
            base = url if file_path(url).is_file() else url.rstrip("/") + "/"
            return _text(200, rewrite_html(text, base, self._mapper(origin)), "text/html; charset=utf-8")
        response = await self._get(url, origin, accept, stack)
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        text = await _read_page(response)
        base = str(response.url)
        if kind.endswith("+json") or kind == "application/json":
            return _text(200, rewrite_json(text, base, self._mapper(origin)), kind)
        if kind.endswith("html"):
            return _text(200, rewrite_html(text, base, self._mapper(origin)), f"{kind}; charset=utf-8")
        raise _Refused(502, "The index answered with something that is not an index page.")

    async def _npm(self, rest: str, accept: str, stack: contextlib.AsyncExitStack) -> _Answer:
        origin = self._registries.npm
        if origin is None:
            raise _Refused(404, "npm is not configured here.")
        response = await self._get(f"{origin.url.rstrip('/')}/{rest}", origin, accept, stack)
        kind = response.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind.endswith("json"):
            return _text(200, rewrite_npm(await _read_page(response), str(response.url), self._mapper(origin)), kind)
        return _stream(response)

    async def _file(self, identifier: str, name: str, stack: contextlib.AsyncExitStack) -> _Answer:
        if identifier not in self._files:
            raise _Refused(403, "Only files that an index named can be had.")
        url, origin = self._files[identifier]
        if unquote(name) == _name(url) + ".metadata":
            url += ".metadata"
        elif unquote(name) != _name(url):
            raise _Refused(403, "Only files that an index named can be had.")
        if url.startswith("file:"):
            return await _local_file(file_path(url))
        same = urlsplit(url)[:2] == urlsplit(origin.url)[:2]
        return _stream(await self._get(url, origin if same else Origin(url), "*/*", stack))

    async def _get(self, url: str, origin: Origin, accept: str, stack: contextlib.AsyncExitStack) -> httpx.Response:
        headers = {"Accept": accept, "Accept-Encoding": "identity"}
        if origin.authorization:
            headers["Authorization"] = origin.authorization
        response = await stack.enter_async_context(self._client.stream("GET", url, headers=headers))
        if response.status_code != 200:
            status = response.status_code if response.status_code in (404, 410, 429, 503) else 403 if response.status_code == 401 else 502
            raise _Refused(status, f"The registry answered {response.status_code}.")
        return response

    def _mapper(self, origin: Origin) -> Mapper:
        """Files of the index's own host, or of others by https; local files only beside a local index."""

        def relative(url: str) -> str | None:
            own, other = urlsplit(origin.url), urlsplit(url)
            if own.scheme == "file":
                root, target = file_path(origin.url), file_path(url).resolve()
                allowed = other.scheme == "file" and target.is_relative_to(root.parent.resolve())
            else:
                allowed = other.scheme == "https" or (other.scheme, other.netloc) == (own.scheme, own.netloc)
            if not allowed:
                return None
            if other.path.endswith("/"):
                inside = url.removeprefix(origin.url.rstrip("/") + "/")
                known = inside != url and origin in self._registries.indexes
                return f"/{self._token}/pip/{self._registries.indexes.index(origin)}/{inside}" if known else None
            identifier = hashlib.sha256(f"{self._token} {url}".encode()).hexdigest()[:32]
            self._files[identifier] = (url, origin)
            return f"{self._base}/{self._token}/file/{identifier}/{quote(_name(url))}"

        return relative

    @property
    def _base(self) -> str:
        return f"http://127.0.0.1:{self.port}"


@contextlib.asynccontextmanager
async def open_egress(registries: Registries, *, inner_port: int | None = None) -> AsyncIterator[EgressProxy]:
    """A proxy on a unix socket, seen inside at `inner_port` by a forwarder; without `inner_port` on a loopback port of its own."""
    trust = ssl.create_default_context()
    if registries.certificates and os.path.exists(registries.certificates):
        trust.load_verify_locations(registries.certificates)
    async with contextlib.AsyncExitStack() as stack:
        timeout = httpx.Timeout(60.0, connect=20.0)
        client = await stack.enter_async_context(httpx.AsyncClient(verify=trust, timeout=timeout, follow_redirects=True, max_redirects=5))
        proxy = EgressProxy(registries, client)
        if inner_port is not None:
            folder = tempfile.mkdtemp(prefix=f"{_FOLDER}{os.getpid()}-{process_start(os.getpid())}-")
            stack.callback(shutil.rmtree, folder, ignore_errors=True)
            proxy.socket, proxy.port = Path(folder, "socket"), inner_port
            listener = stack.enter_context(socket.socket(socket.AF_UNIX))
            listener.bind(str(proxy.socket))
        else:
            listener = stack.enter_context(socket.socket(socket.AF_INET))
            listener.bind(("127.0.0.1", 0))
            proxy.port = listener.getsockname()[1]
        listener.setblocking(False)
        listener.listen(_BACKLOG)
        listening = asyncio.create_task(proxy.listen(listener))
        try:
            yield proxy
        finally:
            listening.cancel()
            await asyncio.wait([listening])


async def _accept(listener: socket.socket) -> socket.socket:
    """The next connection, also after descriptors were short."""
    while True:
        try:
            return (await asyncio.get_running_loop().sock_accept(listener))[0]
        except OSError:
            await asyncio.sleep(_NO_DESCRIPTOR_S)


def sweep_egress() -> int:
    """Remove the socket folders of dead owners; the number removed."""
    removed = 0
    for path in Path(tempfile.gettempdir()).glob(f"{_FOLDER}*"):
        pid, _, rest = path.name.removeprefix(_FOLDER).partition("-")
        if pid.isdigit() and process_start(int(pid)) != rest.partition("-")[0]:
            shutil.rmtree(path, ignore_errors=True)
            removed += 1
    return removed


def _name(url: str) -> str:
    return unquote(urlsplit(url).path.rpartition("/")[2])


def _text(status: int, text: str, kind: str = "text/plain; charset=utf-8") -> _Answer:
    data = text.encode()

    async def body() -> AsyncIterator[bytes]:
        yield data

    return _Answer(status, [("Content-Type", kind), ("Content-Length", str(len(data)))], body())


def _stream(response: httpx.Response) -> _Answer:
    length = response.headers.get("content-length")
    if length is not None and int(length) > _MAX_FILE:
        raise _Refused(403, "The file is too large.")

    async def body() -> AsyncIterator[bytes]:
        total = 0
        async for chunk in response.aiter_raw(_CHUNK):
            total += len(chunk)
            if total > _MAX_FILE:
                raise OSError("the file is too large")
            yield chunk

    names = ("content-type", "content-length", "content-encoding")
    headers = [(name, response.headers[name]) for name in names if name in response.headers]
    return _Answer(200, headers if length is not None else [*headers, ("Transfer-Encoding", "chunked")], body())


async def _read_page(response: httpx.Response) -> str:
    data = bytearray()
    async for chunk in response.aiter_bytes(_CHUNK):
        data += chunk
        if len(data) > _MAX_PAGE:
            raise _Refused(502, "The index page is too large.")
    return data.decode("utf-8", "replace")


def _local_page(path: Path) -> str:
    if path.is_file():
        return path.read_text(errors="replace")
    if (path / "index.html").is_file():
        return (path / "index.html").read_text(errors="replace")
    if path.is_dir():
        return list_folder(path)
    raise _Refused(404, "The index has no such page.")


async def _local_file(path: Path) -> _Answer:
    if not path.is_file():
        raise _Refused(404, "The index has no such file.")

    async def body() -> AsyncIterator[bytes]:
        with path.open("rb") as file:
            while chunk := await asyncio.to_thread(file.read, _CHUNK * 16):
                yield chunk

    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    return _Answer(200, [("Content-Type", kind), ("Content-Length", str(path.stat().st_size))], body())
