"""Time of one chat turn against a real server: p50 and p99 in ms, and turns a second, with 1, 10 and 100 at once."""

from __future__ import annotations

import asyncio
import time

import httpx
from measure import Running, data_folder, percentile, running_server, tell

MESSAGE = {"message": "What can you do?"}


async def at_once(server: Running, clients: int, turns: int) -> None:
    taken: list[float] = []
    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients, keepalive_expiry=2)
    headers = {"Authorization": f"Bearer {server.token}"}
    async with httpx.AsyncClient(base_url=server.url, headers=headers, limits=limits, timeout=60) as http:

        async def one(count: int) -> None:
            for _ in range(count):
                started = time.perf_counter()
                (await http.post("/chat", json=MESSAGE)).raise_for_status()
                taken.append((time.perf_counter() - started) * 1000)

        await asyncio.gather(*(one(2) for _ in range(clients)))
        taken.clear()
        began = time.perf_counter()
        await asyncio.gather(*(one(turns // clients) for _ in range(clients)))
        rate = len(taken) / (time.perf_counter() - began)
    tell(
        "chat_turn",
        concurrent=clients,
        turns=len(taken),
        p50_ms=round(percentile(taken, 0.5), 1),
        p99_ms=round(percentile(taken, 0.99), 1),
        turns_per_s=round(rate),
    )


async def measure(server: Running) -> None:
    for clients, turns in ((1, 200), (10, 1000), (100, 1500)):
        await at_once(server, clients, turns)


if __name__ == "__main__":
    with data_folder() as data, running_server(data) as server:
        asyncio.run(measure(server))
