"""Folders between this machine and one elsewhere: everything at the beginning, afterwards only what changed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import tempfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from shared.errors import SandboxError
from shared.sandbox.connection import Connection
from shared.sandbox.inside import archive
from shared.sandbox.inside.frames import LARGEST
from shared.sandbox.machine import Machine

MOST_ENTRIES = 500_000
_MOST_LIST = 256 * 1024 * 1024
_READABLE = 0o444


@dataclass
class Copy:
    """A host folder and its copy inside. `seen`: what the copy looked like when both were last the same."""

    host: Path
    inside: str
    seen: Mapping[str, str] = field(default_factory=dict)


async def send(machine: Machine, connection: Connection, copy: Copy, *, readable: bool = False) -> None:
    """Fill the folder inside, which is empty, with the host's. `readable`: others than its owner there have to read it."""
    with tempfile.NamedTemporaryFile(prefix="persevere-copy-") as file:
        await asyncio.to_thread(_pack, str(copy.host), file, _READABLE if readable else 0)
        spec = {"kind": "unpack", "folder": copy.inside}
        if machine.bulk:
            spec["file"] = _name()
            await machine.put(Path(file.name), spec["file"])
            await connection.call(spec)
            return
        file.seek(0)
        exchange = await connection.open(spec)
        try:
            while data := await asyncio.to_thread(file.read, LARGEST):
                await exchange.send(data)
            await exchange.end()
            async for _ in exchange.output():
                pass
        except BaseException:
            await connection.abandon(exchange)
            raise


async def look(connection: Connection, inside: str) -> dict[str, str]:
    """Stamps by path of everything in a folder inside (see `inside.work`)."""
    _, data = await connection.call({"kind": "list", "folder": inside})
    return await asyncio.to_thread(_read_list, data)


async def fetch(machine: Machine, connection: Connection, copy: Copy, bounds: archive.Bounds) -> None:
    """Bring what changed inside to the host; nothing is touched there before all of it has arrived.

    SandboxError when it is more than `bounds`, or no copy at all.
    """
    found = await look(connection, copy.inside)
    changed = [path for path, stamp in found.items() if stamp.startswith("!") or copy.seen.get(path) != stamp]
    gone = [path for path in copy.seen if path not in found]
    with tempfile.NamedTemporaryFile(prefix="persevere-copy-") as file:
        if changed:
            await _receive(machine, connection, copy.inside, changed, file, bounds.most_bytes)
        await asyncio.to_thread(_apply, copy.host, gone, file if changed else None, bounds)
    copy.seen = found


async def _receive(machine: Machine, connection: Connection, inside: str, paths: list[str], file: IO[bytes], most: int) -> None:
    spec = {"kind": "pack", "folder": inside}
    wanted = zlib.compress(json.dumps(paths).encode(), 1)
    most += most // 8 + 256 * len(paths)
    if machine.bulk:
        spec["file"] = _name()
        await connection.call(spec, wanted)
        try:
            await machine.get(spec["file"], Path(file.name), most)
        finally:
            await connection.call({"kind": "remove", "file": spec["file"]})
        return
    exchange = await connection.open(spec)
    try:
        await exchange.send(wanted)
        await exchange.end()
        async for _, data in exchange.output():
            most -= len(data)
            if most < 0:
                raise too_much()
            await asyncio.to_thread(file.write, data)
    except BaseException:
        await connection.abandon(exchange)
        raise
    file.seek(0)


def _apply(host: Path, gone: list[str], file: IO[bytes] | None, bounds: archive.Bounds) -> None:
    try:
        remove(host, gone)
        if file is not None:
            archive.unpack(str(host), file.read, bounds)
    except archive.ArchiveError as error:
        raise SandboxError(f"What the sandbox gave back was refused: {error}.", "Open a new one.") from error
    except (OSError, ValueError, TypeError) as error:
        raise SandboxError(f"What the sandbox gave back could not be written: {error}.") from error


def remove(host: Path, paths: list[str]) -> None:
    """Remove entries below `host` without following links; what is not there any more is fine."""
    with archive.Tree(str(host), make=False) as tree:
        for path in sorted(paths, reverse=True):
            with contextlib.suppress(FileNotFoundError, archive.ArchiveError):
                parent, name = tree.parent(path)
                archive.clear(name, parent)


def too_much() -> SandboxError:
    return SandboxError("The sandbox holds more than its limits allow.", "Raise the sandbox's disk limit, or write less.")


def _pack(folder: str, file: IO[bytes], more_mode: int) -> None:
    archive.pack(folder, file.write, more_mode=more_mode)
    file.flush()


def _read_list(data: bytes) -> dict[str, str]:
    unpacker = zlib.decompressobj()
    try:
        text = unpacker.decompress(data, _MOST_LIST)
        found: Any = json.loads(text)
    except (zlib.error, ValueError) as error:
        raise SandboxError("The sandbox's list of files cannot be read.", "Open a new one.") from error
    if not isinstance(found, dict) or not all(isinstance(stamp, str) for stamp in found.values()):
        raise SandboxError("The sandbox's list of files cannot be read.", "Open a new one.")
    if len(found) > MOST_ENTRIES:
        raise too_much()
    return found


def _name() -> str:
    return f"/tmp/.persevere-{secrets.token_hex(8)}"
