"""Time of one chat turn against a real server: p50 and p99 in ms, and turns a second; each kind alone, then 10 and 100 people at once."""

from __future__ import annotations

import asyncio
import subprocess
import time
from contextlib import AsyncExitStack
from pathlib import Path

from client import Connection, connect
from measure import Running, data_folder, percentile, running_server, tell

HELP = "What can you do?"
TASK = "rename load_conf to load_config"
ALONE = {"hello": "hello", "help": HELP, "question": TASK, "status": "what's the status of my tasks?", "task": TASK}
"""`question` names no repository, so that it is asked which; `task` names one, so that a task is made."""


async def talk(person: Connection, message: str, repo: str | None, turns: int, taken: list[float]) -> None:
    """A conversation of so many turns; a task begins a conversation of its own each time. Adds the ms of each turn to `taken`."""
    session = None
    context = {"repo": repo} if repo else {}
    for _ in range(turns):
        body = {"message": message, "context": context} | ({"session_id": session} if session else {})
        started = time.perf_counter()
        answer = await person.post("/chat", body)
        taken.append((time.perf_counter() - started) * 1000)
        session = None if message == TASK else answer["session_id"]


async def at_once(server: Running, people: int, turns: int, *, kind: str = "help", repo: str | None = None) -> None:
    taken: list[float] = []
    async with AsyncExitStack() as stack:
        crowd = [await stack.enter_async_context(connect(server)) for _ in range(people)]
        await asyncio.gather(*(talk(person, ALONE[kind], repo, 10, taken) for person in crowd))
        taken.clear()
        began = time.perf_counter()
        await asyncio.gather(*(talk(person, ALONE[kind], repo, turns // people, taken) for person in crowd))
        rate = len(taken) / (time.perf_counter() - began)
    p50, p99 = percentile(taken, 0.5), percentile(taken, 0.99)
    tell("chat_turn", kind=kind, at_once=people, turns=len(taken), p50_ms=round(p50, 1), p99_ms=round(p99, 1), turns_per_s=round(rate))


def repository(folder: Path) -> str:
    folder.mkdir()
    (folder / "app.py").write_text("def load_conf():\n    return 1\n")
    for arguments in (["init", "-q", "-b", "main"], ["add", "-A"], ["-c", "user.name=B", "-c", "user.email=b@l", "commit", "-qm", "b"]):
        subprocess.run(["git", *arguments], cwd=folder, check=True)
    return str(folder)


async def measure(server: Running, repo: str) -> None:
    for kind in ALONE:
        await at_once(server, 1, 200, kind=kind, repo=repo if kind == "task" else None)
    for people, turns in ((10, 1500), (100, 3000)):
        await at_once(server, people, turns)


if __name__ == "__main__":
    with data_folder() as data, running_server(data, "--no-worker") as server:
        asyncio.run(measure(server, repository(data / "weather")))
