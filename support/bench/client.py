"""A keep-alive connection that costs next to nothing, so that the time measured is the server's and not the client's."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from measure import Running


class Connection:
    """One request at a time."""

    def __init__(self, server: Running, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer
        self._head = f"Host: {urlsplit(server.url).netloc}\r\nAuthorization: Bearer {server.token}\r\nContent-Type: application/json\r\n"

    async def post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        """The answer's JSON. `RuntimeError` unless it is a 200 with a length."""
        data = json.dumps(body).encode()
        self._writer.write(f"POST {path} HTTP/1.1\r\n{self._head}Content-Length: {len(data)}\r\n\r\n".encode() + data)
        head = (await self._reader.readuntil(b"\r\n\r\n")).lower()
        if not head.startswith(b"http/1.1 200"):
            raise RuntimeError(head.decode())
        length = head.partition(b"content-length:")[2].partition(b"\r")[0]
        answer: dict[str, Any] = json.loads(await self._reader.readexactly(int(length)))
        return answer


@asynccontextmanager
async def connect(server: Running) -> AsyncIterator[Connection]:
    address = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    try:
        yield Connection(server, reader, writer)
    finally:
        writer.close()
        await writer.wait_closed()
