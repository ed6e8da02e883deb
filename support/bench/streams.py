"""Streams of a real server: ms from a commit to each client at 1, 100 and 1,000 streams (of one task, and of a task each), ms of a
replay of 1,000 events, kB of memory a stream. The clients, the writer and the server are three processes."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import urlsplit

from measure import Running, data_folder, memory_mb, percentile, running_server, tell

from shared.events.store import append
from shared.store import runs, tasks
from shared.store.database import Database, open_database
from shared.store.embedded import open_embedded_postgres
from shared.store.records import Task
from shared.types import Stage, new_id

MESSAGE = {"level": "info", "message": "a line of some length, as a test runner or a build prints them: 48 passed, 2 skipped"}
EVENTS = 60
PER_S = 10
REPLAYED = 1000
WAIT_S = 60.0


def cpu_s(pid: int) -> float:
    """Seconds of processor time a process has used (Linux)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Stream(asyncio.Protocol):
    """One SSE client that only notes when each event's last byte came."""

    def __init__(self, request: bytes) -> None:
        self._request, self._rest = request, b""
        self.seen: dict[int, float] = {}
        self.news = asyncio.Event()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        *whole, self._rest = (self._rest + data).split(b"\n\n")
        for block in whole:
            at = block.find(b"id: ")
            if at >= 0:
                self.seen.setdefault(int(block[at + 4 : block.index(b"\n", at)]), now)
        self.news.set()

    async def until(self, seq: int) -> None:
        while seq not in self.seen:
            self.news.clear()
            await self.news.wait()


async def connect(server: Running, task_id: str, after: int = 0) -> Stream:
    address = urlsplit(server.url)
    lines = [f"GET /tasks/{task_id}/events HTTP/1.1", f"Host: {address.netloc}", f"Authorization: Bearer {server.token}"]
    lines += ["Accept: text/event-stream", f"Last-Event-ID: {after}", "", ""]
    request = "\r\n".join(lines).encode()
    loop = asyncio.get_running_loop()
    _, stream = await loop.create_connection(lambda: Stream(request), str(address.hostname), address.port or 80)
    return stream


async def make_task(database: Database, events: int = 1) -> str:
    task = Task(id=new_id("task"), user_id="local", title="t", prompt="p", repo="/r")
    async with database.transaction() as tx:
        await tasks.insert(tx, task)
        await runs.insert(tx, task.id)
        await append(tx, task.id, Stage.CODING, [("log", dict(MESSAGE))] * events)
    return task.id


async def write(url: str, names: list[str], total: int, rate: int) -> None:
    """Commit `total` events of the tasks in turn; print each one's task, number and the moment it was committed."""
    async with open_database(url, pool_size=1) as database:
        began = time.perf_counter()
        for number in range(total):
            await asyncio.sleep(max(0.0, began + number / rate - time.perf_counter()))
            async with database.transaction() as tx:
                (event,) = await append(tx, names[number % len(names)], Stage.CODING, [("log", dict(MESSAGE))])
            print(json.dumps([event.task_id, event.seq, time.perf_counter()]))


async def written_elsewhere(url: str, names: list[str], total: int, rate: int) -> list[tuple[str, int, float]]:
    """What `write` prints in a process of its own, where reading streams does not delay it."""
    command = (sys.executable, __file__, json.dumps([url, names, total, rate]))
    writer = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    out, _ = await writer.communicate()
    assert writer.returncode == 0
    return [(task_id, seq, at) for task_id, seq, at in map(json.loads, out.splitlines())]


@asynccontextmanager
async def streams_of(server: Running, followed: list[str]) -> AsyncIterator[list[Stream]]:
    """A stream for each name, all of which have received the first event."""
    opened: list[Stream] = []
    try:
        for first in range(0, len(followed), 50):
            opened += await asyncio.gather(*(connect(server, task_id) for task_id in followed[first : first + 50]))
        async with asyncio.timeout(WAIT_S):
            await asyncio.gather(*(stream.until(1) for stream in opened))
        yield opened
    finally:
        for stream in opened:
            stream.transport.abort()


async def delivery(server: Running, database: Database, count: int, *, one_task: bool) -> None:
    """Events at a steady rate: of one task to all the streams, or of tasks in turn, each to its own stream."""
    names = [await make_task(database)] if one_task else [await make_task(database) for _ in range(count)]
    followed = names * count if one_task else names
    before = memory_mb(server.process.pid)
    async with streams_of(server, followed) as opened:
        more = memory_mb(server.process.pid) - before
        total = EVENTS if one_task else max(EVENTS, count)
        rate = PER_S if one_task else max(PER_S, count // 5)
        used = cpu_s(server.process.pid)
        written = await written_elsewhere(database.conninfo, names, total, rate)
        by_task: dict[str, list[Stream]] = {}
        for name, stream in zip(followed, opened, strict=True):
            by_task.setdefault(name, []).append(stream)
        async with asyncio.timeout(WAIT_S):
            await asyncio.gather(*(stream.until(seq) for name, seq, _ in written[-count:] for stream in by_task[name]))
        used = cpu_s(server.process.pid) - used
        taken = [max(0.0, stream.seen[seq] - at) * 1000 for name, seq, at in written for stream in by_task[name]]
    tell(
        "streams",
        streams=count,
        tasks=len(names),
        events_per_s=rate,
        deliveries=len(taken),
        p50_ms=round(percentile(taken, 0.5), 1),
        p99_ms=round(percentile(taken, 0.99), 1),
        max_ms=round(max(taken), 1),
        server_us_a_delivery=round(used / len(taken) * 1e6),
        kb_a_stream=round(more * 1024 / count) if count >= 100 else None,
    )


async def replay(server: Running, database: Database) -> None:
    """From the connection's first byte to the last of the stored events."""
    task_id = await make_task(database, REPLAYED)
    taken = []
    for _ in range(20):
        began = time.perf_counter()
        stream = await connect(server, task_id)
        await stream.until(REPLAYED)
        taken.append((stream.seen[REPLAYED] - began) * 1000)
        assert sorted(stream.seen) == list(range(1, REPLAYED + 1))
        stream.transport.abort()
    tell("replay", events=REPLAYED, p50_ms=round(percentile(taken, 0.5), 1), max_ms=round(max(taken), 1))


async def measure(server: Running, database: Database) -> None:
    await replay(server, database)
    for count in (1, 100, 1000):
        for one_task in (True, False):
            await delivery(server, database, count, one_task=one_task)
            await asyncio.sleep(1)


async def main() -> None:
    with data_folder() as data, running_server(data) as server:
        async with open_embedded_postgres(data) as url, open_database(url, pool_size=2) as database:
            await measure(server, database)


if __name__ == "__main__":
    asyncio.run(write(*json.loads(sys.argv[1])) if len(sys.argv) > 1 else main())
