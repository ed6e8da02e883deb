"""What the other end says is an enemy's word: it may be cut, wrong or endless, and ours must neither hang nor believe it."""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from shared.errors import NotFoundError, SandboxError, SandboxUnreachableError
from shared.sandbox.connection import Connection, Exchange, RunnerEndedError
from shared.sandbox.copying import Copy, fetch
from shared.sandbox.inside.archive import START, Bounds
from shared.sandbox.inside.frames import ENDED, HELLO, OPEN, OUT, RESULT, STOP, Decoder, Frame, encode
from shared.sandbox.port import Limits
from shared.sandbox.remote_execution import RemoteExecution

Answer = Callable[[Frame], list[Frame] | bytes | Exception]


class Enemy:
    """A machine and its only channel: answers each frame as it is told to."""

    text = bulk = False

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._decoder = Decoder(text=False)
        self._said: asyncio.Queue[bytes | Exception] = asyncio.Queue()
        self._said.put_nowait(encode(Frame(HELLO, 0, b"{}"), False))
        self.heard: list[Frame] = []
        self.closed = False

    async def read(self) -> bytes:
        said = await self._said.get()
        if isinstance(said, Exception):
            raise said
        return said

    async def write(self, data: bytes) -> None:
        for frame in self._decoder.feed(data):
            self.heard.append(frame)
            said = self._answer(frame)
            if isinstance(said, list):
                for one in said:
                    self._said.put_nowait(encode(one, False))
            else:
                self._said.put_nowait(said)

    async def aclose(self) -> None:
        self.closed = True

    async def start(self, argv: Sequence[str], environment: dict[str, str], *, owner: bool = False) -> Enemy:
        return self

    async def put(self, source: Path, target: str) -> None:
        raise NotImplementedError

    async def get(self, source: str, target: Path, most: int) -> None:
        raise NotImplementedError

    async def look(self) -> None:
        return

    async def pause(self) -> None:
        return

    async def resume(self) -> None:
        return

    async def remove(self) -> None:
        return


async def accept(exchange: Exchange) -> None:
    await exchange.stop()


async def connected(enemy: Enemy) -> Connection:
    connection = Connection(enemy, enemy, accept)
    await connection.begin(b"")
    return connection


@pytest.mark.parametrize(
    "said",
    [
        b"\xff" * 100,
        b"",
        encode(Frame(RESULT, 1, b"not json"), False),
        encode(Frame(b"a", 1, b"?"), False),
        encode(Frame(RESULT, 1, b"[1]"), False),
    ],
)
async def test_nonsense_ends_the_connection(said: bytes) -> None:
    enemy = Enemy(lambda frame: said)
    connection = await connected(enemy)
    with pytest.raises(RunnerEndedError):
        await asyncio.wait_for(connection.call({"kind": "read", "path": "f"}), 5)
    with pytest.raises(RunnerEndedError):
        await connection.open({"kind": "read", "path": "f"})
    await connection.aclose()
    assert enemy.closed


async def test_a_lost_channel_is_told_to_everyone() -> None:
    enemy = Enemy(lambda frame: SandboxUnreachableError("away") if frame.number == 3 else [])
    connection = await connected(enemy)
    calls = [asyncio.create_task(connection.call({"kind": "exists", "path": "f"})) for _ in range(3)]
    for call in calls:
        with pytest.raises(SandboxUnreachableError):
            await asyncio.wait_for(call, 5)
    await connection.aclose()


async def test_the_runners_errors_are_ours() -> None:
    answer = json.dumps({"code": "not_found", "message": "There is no f in the workspace."}).encode()
    connection = await connected(Enemy(lambda frame: [Frame(RESULT, frame.number, answer)] if frame.kind == ENDED else []))
    with pytest.raises(NotFoundError, match="no f"):
        await connection.call({"kind": "read", "path": "f"})
    await connection.aclose()


async def test_a_command_cancelled_while_it_is_asked_for_is_stopped() -> None:
    enemy = Enemy(lambda frame: [Frame(RESULT, frame.number, b'{"exit": 0}')] if frame.kind == STOP else [])
    connection = await connected(enemy)
    running = asyncio.create_task(RemoteExecution(connection, Limits(), None).run({"kind": "run"}, b"", 60))
    await asyncio.sleep(0)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(running, 5)
    assert [frame.kind for frame in enemy.heard] in ([], [OPEN, STOP])
    await connection.aclose()


async def test_output_nobody_asked_for_is_bounded() -> None:
    flood = [Frame(OUT, 1, b"x" * 200_000)] * 20
    enemy = Enemy(lambda frame: flood if frame.kind == OPEN else [Frame(RESULT, 1, b'{"exit": 0}')] if frame.kind == STOP else [])
    connection = await connected(enemy)
    result = await RemoteExecution(connection, Limits(output_bytes=100_000), None).run({"kind": "run"}, b"", 60)
    assert result.stopped_by == "output"
    assert len(result.stdout) < 100_200
    await connection.aclose()


@pytest.mark.parametrize(
    "told",
    [
        b"junk",
        zlib.compress(b"[]"),
        zlib.compress(b'{"f": 1}'),
        zlib.compress(b'{"f": "!' + b"x" * (300 << 20)),
        zlib.compress(b'{"f": "!1"}'),
    ],
)
async def test_nothing_is_changed_here_by_a_list_or_an_archive_that_is_none(tmp_path: Path, told: bytes) -> None:
    (tmp_path / "kept").write_text("kept")

    def answer(frame: Frame) -> list[Frame]:
        parts = [told] if frame.number == 1 else [START, b"\0\0\0\x09junk"]
        return [*(Frame(OUT, frame.number, part) for part in parts), Frame(RESULT, frame.number, b"{}")] if frame.kind == ENDED else []

    enemy = Enemy(answer)
    connection = await connected(enemy)
    with pytest.raises(SandboxError):
        await fetch(enemy, connection, Copy(tmp_path, "/workspace", {}), Bounds(1 << 20, 100))
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]
    await connection.aclose()


async def test_more_than_the_limit_is_not_even_taken(tmp_path: Path) -> None:
    def answer(frame: Frame) -> list[Frame]:
        if frame.kind != ENDED:
            return []
        told = [zlib.compress(b'{"f": "!1"}')] if frame.number == 1 else [b"x" * 200_000] * 20
        return [*(Frame(OUT, frame.number, part) for part in told), Frame(RESULT, frame.number, b"{}")]

    enemy = Enemy(answer)
    connection = await connected(enemy)
    with pytest.raises(SandboxError, match="more than its limits"):
        await fetch(enemy, connection, Copy(tmp_path, "/workspace", {}), Bounds(1 << 20, 100))
    await connection.aclose()
