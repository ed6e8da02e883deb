"""Reading a line from a person without blocking the event loop or leaving a thread behind."""

from __future__ import annotations

import asyncio
import os
import sys


async def read_line(question: str) -> str | None:
    """The line without its newline, or None at the end of input."""
    sys.stdout.write(question)
    sys.stdout.flush()
    descriptor = sys.stdin.fileno()
    gathered = bytearray()
    while True:
        try:
            await _readable(descriptor)
        except PermissionError:
            line = sys.stdin.readline()
            return line.rstrip("\r\n") if line else None
        data = os.read(descriptor, 1 if not os.isatty(descriptor) else 4096)
        if not data:
            return gathered.decode("utf-8", "replace") if gathered else None
        gathered += data
        if gathered.endswith(b"\n"):
            return gathered.decode("utf-8", "replace").rstrip("\r\n")


async def _readable(descriptor: int) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(descriptor, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(descriptor)


def is_interactive() -> bool:
    """A person can be asked: both ends are a terminal."""
    return sys.stdin.isatty() and sys.stdout.isatty()
