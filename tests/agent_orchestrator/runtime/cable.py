"""The way from a worker to its database, which a test can cut."""

from __future__ import annotations

import asyncio
import contextlib
from urllib.parse import parse_qs, unquote, urlsplit


class Cable:
    """A TCP port that leads to the database of `url`. `cut()` breaks every connection and refuses new ones until `mend()`."""

    def __init__(self, url: str, host: str = "127.0.0.1") -> None:
        parts = urlsplit(url)
        query = parse_qs(parts.query)
        self._socket = unquote(query.get("host", [parts.hostname or ""])[0])
        self._target_port = int(query.get("port", [str(parts.port or 5432)])[0])
        self._credentials, self._path, self._host, self._port = parts.netloc.rpartition("@")[0], parts.path, host, 0
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.StreamWriter] = set()

    @property
    def url(self) -> str:
        return f"postgresql://{self._credentials}@{self._host}:{self._port}{self._path}"

    async def mend(self) -> None:
        self._server = await asyncio.start_server(self._connect, self._host, self._port)
        self._port = self._server.sockets[0].getsockname()[1]

    async def cut(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._open):
            writer.transport.abort()
        await asyncio.sleep(0)

    async def _connect(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._socket.startswith("/"):
            there = await asyncio.open_unix_connection(f"{self._socket}/.s.PGSQL.{self._target_port}")
        else:
            there = await asyncio.open_connection(self._socket, self._target_port)
        self._open |= {writer, there[1]}
        try:
            await asyncio.gather(_copy(reader, there[1]), _copy(there[0], writer))
        finally:
            self._open -= {writer, there[1]}


async def _copy(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError):
        while data := await source.read(65536):
            target.write(data)
            await target.drain()
    with contextlib.suppress(OSError):
        target.close()
