"""Connections to the way out: idle ones cost the worker a bounded number of descriptors, and no one else's turn for ever."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import zlib
from pathlib import Path

from shared.sandbox import remote
from shared.sandbox.egress import open_egress
from shared.sandbox.inside.frames import CONNECTION, ENDED, OPEN, OUT, RESULT, STOP, Frame
from shared.sandbox.limits import CONNECTIONS
from shared.sandbox.port import Command, SandboxSpec, System
from shared.sandbox.registry_config import Registries
from tests.shared.sandbox.test_connection import Enemy

_IDLE = 100
_SPARE = 20


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))


async def ask(target: str, port: int) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {target} HTTP/1.1\r\nHost: h\r\n\r\n".encode())
    try:
        return await reader.read()
    finally:
        writer.close()


async def test_idle_connections_wait_outside() -> None:
    async with open_egress(Registries()) as proxy:
        before = descriptors()
        with contextlib.ExitStack() as clients:
            idle = [clients.enter_context(socket.create_connection(("127.0.0.1", proxy.port), 5)) for _ in range(_IDLE)]
            await asyncio.sleep(0.3)
            assert before + _IDLE + CONNECTIONS // 2 < descriptors() <= before + _IDLE + CONNECTIONS + _SPARE
            asking = asyncio.create_task(ask("/wrong/pip/0/", proxy.port))
            for client in idle:
                client.close()
            assert (await asyncio.wait_for(asking, 10)).startswith(b"HTTP/1.1 403")
        for _ in range(100):
            if descriptors() <= before + 5:
                break
            await asyncio.sleep(0.05)
        assert descriptors() <= before + 5


class Liar(Enemy):
    """Takes the program it is sent for what it is."""

    async def write(self, data: bytes) -> None:
        if not data.startswith(b"%d\n" % (len(data) - data.find(b"\n") - 1)):
            await super().write(data)


async def test_a_runner_that_lies_opens_no_more(tmp_path: Path) -> None:
    """It tells of connections without end."""
    kinds: dict[int, str] = {}

    def answer(frame: Frame) -> list[Frame]:
        if frame.kind == OPEN:
            kinds[frame.number] = json.loads(frame.payload)["kind"]
        kind, result = kinds.get(frame.number), Frame(RESULT, frame.number, b"{}")
        if frame.kind == STOP:
            return [result]
        if frame.kind == OPEN and kind == "listen":
            return [Frame(OUT, frame.number, b"listening"), *(Frame(CONNECTION, (1 << 31) + number) for number in range(2 * _IDLE))]
        if frame.kind == OPEN and kind == "limits":
            return [result]
        if frame.kind == ENDED and kind == "list":
            return [Frame(OUT, frame.number, zlib.compress(b"{}")), result]
        return [result] if frame.kind == ENDED and kind == "unpack" else []

    sandbox = await remote.open_remote(
        "test", SandboxSpec(workspace=tmp_path, task_id="t"), Liar(answer), System("test", "python3", (3, 11), "python3")
    )
    before = descriptors()
    running = asyncio.create_task(sandbox.run(Command(argv=["true"], registries=True, timeout_s=60)))
    try:
        await asyncio.sleep(1.5)
        assert before + CONNECTIONS < descriptors() <= before + 2 * CONNECTIONS + _SPARE
    finally:
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        await sandbox.aclose()
