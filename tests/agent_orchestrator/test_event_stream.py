"""Clients that read slowly, not at all, or elsewhere; heartbeats; the end of sockets. Over real sockets."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

import httpx_sse
import pytest
import websockets

from agent_orchestrator import event_stream
from agent_orchestrator.resources import Resources
from shared.events import store as events_store
from shared.store.records import Task
from shared.types import Stage
from tests.agent_orchestrator.http_server import TOKEN, Running, append_logs, finish_task, insert_task, run_server

AUTHORIZATION = {"Authorization": f"Bearer {TOKEN}"}
LARGE = 40_000


@pytest.fixture
async def running(resources: Resources) -> AsyncIterator[Running]:
    async with run_server(resources) as server:
        yield server


@pytest.fixture
async def task(resources: Resources, repository: Path) -> Task:
    return await insert_task(resources, repository)


@asynccontextmanager
async def raw_stream(running: Running, task: Task, after: int = 0) -> AsyncIterator[asyncio.StreamReader]:
    """A client with small buffers that reads only what it is told to."""
    plain = socket.socket()
    plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    plain.setblocking(False)
    address = urlsplit(running.url)
    await asyncio.get_running_loop().sock_connect(plain, (address.hostname, address.port))
    reader, writer = await asyncio.open_connection(sock=plain, limit=65536)
    head = [f"GET /tasks/{task.id}/events HTTP/1.1", f"Host: {address.netloc}", f"Authorization: Bearer {TOKEN}"]
    try:
        writer.write("\r\n".join([*head, "Connection: close", "Accept: text/event-stream", f"Last-Event-ID: {after}", "", ""]).encode())
        yield reader
    finally:
        writer.close()


async def append_large(resources: Resources, task: Task, count: int) -> None:
    async with resources.database.transaction() as tx:
        text = base64.b64encode(os.urandom(LARGE)).decode()
        await events_store.append(tx, task.id, Stage.CODING, [("log", {"message": text})] * count)


async def whole_events(reader: asyncio.StreamReader) -> list[int]:
    """The numbers of the events that came whole before the connection was cut."""
    got = bytearray()
    try:
        while piece := await reader.read(65536):
            got += piece
    except ConnectionError:
        pass
    blocks = got.split(b"\n\n")[:-1]
    return [int(block[block.index(b"id: ") + 4 :].split(b"\n", 1)[0]) for block in blocks if b"id: " in block]


async def numbers(running: Running, task: Task, after: int) -> list[int]:
    """Those of the whole rest of the stream."""
    async with running.client() as client, asyncio.timeout(20):
        headers = {"Last-Event-ID": str(after)}
        async with httpx_sse.aconnect_sse(client, "GET", f"/tasks/{task.id}/events", headers=headers) as source:
            return [int(event.id) async for event in source.aiter_sse()]


async def test_a_client_that_reads_nothing_is_dropped_and_can_resume(
    resources: Resources, running: Running, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "TICK_S", 0.1)
    async with raw_stream(running, task) as reader, asyncio.timeout(20):
        for _ in range(20):
            await append_large(resources, task, 20)
        (connection,) = running.server.server_state.connections
        while (buffered := connection.transport.get_write_buffer_size()) == 0:
            await asyncio.sleep(0.05)
        assert buffered < 3_000_000
        monkeypatch.setattr(event_stream, "SEND_TIMEOUT_S", 0.3)
        while running.server.server_state.connections:
            await asyncio.sleep(0.05)
        seen = await whole_events(reader)
    assert len(seen) < 200
    await finish_task(resources, task.id)
    assert seen + await numbers(running, task, len(seen)) == list(range(1, 402))


async def test_a_slow_client_gets_everything_at_its_own_pace(resources: Resources, running: Running, task: Task) -> None:
    """It falls behind what is kept in memory and reads on from the database, while a quick one is not held up."""
    quick = asyncio.create_task(numbers(running, task, 0))
    async with raw_stream(running, task) as reader:
        for _ in range(30):
            await append_large(resources, task, 10)
            await append_logs(resources, task.id, 20)
        await finish_task(resources, task.id)
        assert await quick == list(range(1, 902))
        assert await whole_events(reader) == list(range(1, 902))


async def test_a_quiet_stream_has_a_heartbeat(running: Running, task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(event_stream, "PING_S", 0.2)
    monkeypatch.setattr(event_stream, "TICK_S", 0.1)
    async with raw_stream(running, task) as reader, asyncio.timeout(10):
        for _ in range(2):
            await reader.readuntil(b": ping\n\n")


async def test_a_socket_resumes_and_ends_with_the_task(resources: Resources, running: Running, task: Task) -> None:
    await append_logs(resources, task.id, 5)
    url = f"{running.url.replace('http', 'ws', 1)}/ws/tasks/{task.id}/status"
    seen: list[int] = []
    async with asyncio.timeout(20):
        async with websockets.connect(url, additional_headers=AUTHORIZATION, proxy=None) as client:
            seen += [json.loads(await client.recv())["seq"] for _ in range(3)]
        await append_logs(resources, task.id, 5)
        async with websockets.connect(f"{url}?after={seen[-1]}", additional_headers=AUTHORIZATION, proxy=None) as client:
            while len(seen) < 10:
                seen.append(json.loads(await client.recv())["seq"])
            await finish_task(resources, task.id)
            seen.append(json.loads(await client.recv())["seq"])
            with pytest.raises(websockets.ConnectionClosedOK):
                await client.recv()
    assert seen == list(range(1, 12))


async def test_a_socket_that_takes_nothing_is_dropped(
    resources: Resources, running: Running, task: Task, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "SEND_TIMEOUT_S", 0.5)
    url = f"{running.url.replace('http', 'ws', 1)}/ws/tasks/{task.id}/status"
    async with websockets.connect(url, additional_headers=AUTHORIZATION, proxy=None, max_queue=1, close_timeout=1) as client:
        client.transport.pause_reading()
        for _ in range(20):
            await append_large(resources, task, 20)
        async with asyncio.timeout(20):
            while running.server.server_state.connections:
                await asyncio.sleep(0.05)


@pytest.mark.parametrize("path", ["/chat/ws", "/ws/tasks/{task}/status"])
async def test_sockets_end_when_the_server_stops(path: str, running: Running, task: Task) -> None:
    url = running.url.replace("http", "ws", 1) + path.format(task=task.id)
    async with websockets.connect(url, additional_headers=AUTHORIZATION, proxy=None) as client, asyncio.timeout(20):
        await asyncio.sleep(0.1)
        stopping = asyncio.create_task(running.stop())
        with pytest.raises(websockets.ConnectionClosedError) as closed:
            await client.recv()
        await stopping
    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == 1012
