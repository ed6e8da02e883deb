"""A process in an E2B sandbox, its stdin and stdout, over connections that break: at a pause, or when anything between restarts."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import shlex
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.errors import SandboxError
from shared.sandbox import e2b_wire

if TYPE_CHECKING:
    from shared.sandbox.e2b_machine import E2BMachine

_AT_ONCE = 512 * 1024
_AHEAD = 2 * 1024 * 1024
"""So many bytes may be written before they have left."""
_CONFIRM = 512 * 1024
_HELD = 8 * 1024 * 1024
"""So much is taken before it is read: more than `e2b_wire` says unconfirmed, which something else in its place might not mind."""
_LONGEST_HEAD = 32
_OPENING_S = 30.0
"""Ours, not the library's `request_timeout`: cancelled within that, it leaves an exception behind that nobody retrieves."""
_CLOSING_S = 5.0


class _LeftError(Exception):
    """We left a connection of our own will."""


class E2BChannel:
    """See `Channel`. Below it, `e2b_wire` counts the bytes inside."""

    def __init__(self, machine: E2BMachine, user: str, argv: Sequence[str], environment: dict[str, str]) -> None:
        self._machine, self._user, self._argv, self._environment = machine, user, argv, environment
        self._pid = 0
        self._parser = _Parser()
        self._read = self._confirmed = 0
        self._buffer = bytearray()
        self._outgoing, self._sent = bytearray(), 0
        self._attach = self._ended = self._left = False
        self._error: SandboxError | None = None
        self._changed = asyncio.Condition()
        self._anew = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def begin(self) -> None:
        """Start the process."""
        handle = await self._machine.persist(self._start)
        self._pid, self._attach = handle.pid, True
        self._tasks = [asyncio.create_task(self._follow(handle)), asyncio.create_task(self._send())]

    async def read(self) -> bytes:
        async with self._changed:
            await self._changed.wait_for(lambda: self._buffer or self._ended or self._error is not None)
            if not self._buffer and self._error is not None:
                raise self._error
            data = bytes(self._buffer)
            self._buffer.clear()
            self._read += len(data)
            self._changed.notify_all()
            return data

    async def write(self, data: bytes) -> None:
        async with self._changed:
            await self._changed.wait_for(lambda: len(self._outgoing) < _AHEAD or self._ended or self._error is not None)
            if self._error is not None:
                raise self._error
            if not self._ended:
                self._outgoing += data
                self._changed.notify_all()

    async def aclose(self) -> None:
        for task in self._tasks:
            task.cancel()
        with contextlib.suppress(Exception):
            async with asyncio.timeout(_CLOSING_S):
                await asyncio.gather(*self._tasks, return_exceptions=True)
                if not self._left:
                    await self._machine.sandbox.commands.close_stdin(self._pid, request_timeout=_CLOSING_S)

    async def _start(self) -> Any:
        source = ["exec", "python3", "-I", "-S", "-c", _wire(), *self._argv]
        async with asyncio.timeout(_OPENING_S):
            return await self._machine.sandbox.commands.run(
                shlex.join(source),
                background=True,
                envs=self._environment,
                user=self._user,
                cwd="/",
                stdin=True,
                timeout=0,
                request_timeout=0,
                on_stdout=self._hear,
                retain_output=False,
            )

    def listen_anew(self) -> None:
        """Leave the connection, which may be dead without a word, for another."""
        self._anew.set()

    async def _follow(self, handle: Any) -> None:
        """Listen until the process has ended, anew whenever the connection breaks."""
        from e2b.exceptions import NotFoundException
        from e2b.sandbox.commands.command_handle import CommandExitException

        while True:
            try:
                await self._listen(handle)
                return await self._stop(None)
            except CommandExitException:
                return await self._stop(None)
            except Exception as lost:
                if self._parser.over:
                    return await self._stop(None)
                try:
                    if not isinstance(lost, _LeftError):
                        await self._machine.look_after(lost)
                    handle = await self._machine.persist(self._connect)
                except NotFoundException:
                    return await self._stop(None)
                except SandboxError as error:
                    return await self._stop(error)
                async with self._changed:
                    self._attach = True
                    self._changed.notify_all()

    async def _listen(self, handle: Any) -> None:
        """To the end of the process, or to an error of the connection; `_LeftError` when it is to be left."""
        self._anew.clear()
        tasks = [asyncio.create_task(handle.wait()), asyncio.create_task(self._anew.wait())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if not tasks[0].done():
                raise _LeftError
            tasks[0].result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await handle.disconnect()

    async def _connect(self) -> Any:
        commands = self._machine.sandbox.commands
        async with asyncio.timeout(_OPENING_S):
            return await commands.connect(self._pid, timeout=0, request_timeout=0, on_stdout=self._hear, retain_output=False)

    async def _hear(self, text: str) -> None:
        data = self._parser.feed(text.encode("utf-8", "replace"))
        async with self._changed:
            await self._changed.wait_for(lambda: len(self._buffer) < _HELD)
            self._buffer += data
            self._ended = self._ended or self._parser.over
            self._attach = self._attach or self._parser.lost
            self._changed.notify_all()

    async def _send(self) -> None:
        """Everything that goes in, in order, one call at a time; a call that may have failed is made again, with the same offsets."""
        from e2b.exceptions import NotFoundException

        try:
            while not self._ended:
                async with self._changed:
                    await self._changed.wait_for(lambda: self._attach or self._outgoing or self._due())
                await self._machine.persist(self._send_once)
        except NotFoundException:
            await self._stop(None)
        except SandboxError as error:
            await self._stop(error)

    def _due(self) -> bool:
        return self._read - self._confirmed >= _CONFIRM

    async def _send_once(self) -> None:
        attach, read = self._attach, self._read
        message = b"a %d\n" % read
        if attach:
            message = b"r %d %s\n" % (self._parser.received, self._parser.begin())
            self._attach = False
        data = bytes(self._outgoing[:_AT_ONCE])
        if data:
            message += b"w %d %d\n%s" % (self._sent, len(data), data)
        try:
            await self._machine.sandbox.commands.send_stdin(self._pid, message, request_timeout=_OPENING_S)
        except BaseException:
            self._attach = self._attach or attach
            raise
        async with self._changed:
            self._confirmed = max(self._confirmed, read)
            self._sent += len(data)
            del self._outgoing[: len(data)]
            self._changed.notify_all()

    async def _stop(self, error: SandboxError | None) -> None:
        async with self._changed:
            self._left = True
            self._error = self._error or error
            self._ended = self._ended or error is None
            self._changed.notify_all()


class _Parser:
    """What `e2b_wire` says. What came before the word last asked for is passed over: it will be said again."""

    def __init__(self) -> None:
        self.received = 0
        self.over = self.lost = False
        self._word: bytes | None = None
        self._synced = False
        self._raw = bytearray()
        self._left = 0

    def begin(self) -> bytes:
        """A new word to ask for."""
        self._word = secrets.token_hex(8).encode()
        self._synced = self.lost = False
        self._left = 0
        return self._word

    def feed(self, data: bytes) -> bytes:
        if self._word is None or self.over or self.lost:
            return b""
        self._raw += data
        if not self._synced and not self._find():
            return b""
        found = bytearray()
        while self._raw and not self.over and not self.lost:
            if self._left:
                piece = self._raw[: self._left]
                found += piece
                self._left -= len(piece)
                del self._raw[: len(piece)]
            elif not self._head():
                break
        self.received += len(found)
        return bytes(found)

    def _find(self) -> bool:
        mark = b"\n@%s\n" % (self._word or b"")
        at = self._raw.find(mark)
        if at < 0:
            del self._raw[: -len(mark)]
            return False
        del self._raw[: at + len(mark)]
        self._synced = True
        return True

    def _head(self) -> bool:
        end = self._raw.find(b"\n")
        if end < 0 or end > _LONGEST_HEAD:
            self.lost = len(self._raw) > _LONGEST_HEAD
            return False
        kind, _, size = bytes(self._raw[:end]).partition(b" ")
        del self._raw[: end + 1]
        if kind == b"x":
            self.over = True
        elif kind == b"d" and size.isdigit():
            self._left = int(size)
        else:
            self.lost = True
        return True


@lru_cache(maxsize=1)
def _wire() -> str:
    return Path(str(e2b_wire.__file__)).read_text()
