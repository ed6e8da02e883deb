"""Started inside as a program, `python -I -S -c SOURCE COMMAND...`: carries a command's stdin and stdout over connections that may break.

The service forgets what a process says while nobody listens, and a call that failed may have been delivered. So both ways are counted.
In: `w OFFSET SIZE` and that many bytes for the command, `a OFFSET` (so much of its output has arrived), `r OFFSET WORD` (somebody
listens anew: say WORD, then everything from OFFSET) and the end. Out: a line `@WORD`, then `d SIZE` with bytes, at last `x`. Standard
library only.
"""

from __future__ import annotations

import ctypes
import os
import selectors
import subprocess
import sys

_WINDOW = 4 * 1024 * 1024
"""So much unconfirmed output is kept; then the command waits."""
_CHUNK = 65536
_PR_SET_DUMPABLE = 4


class Wire:
    def __init__(self, into: int, out: int) -> None:
        self._into, self._out = into, out
        self._kept = bytearray()
        self._base = self._told = self._taken = 0
        self._leaving, self._heard, self._pending = bytearray(), bytearray(), bytearray()
        self._listened = self._ended = self._said_end = self._closing = False
        self._selector = selectors.DefaultSelector()

    def carry(self) -> None:
        """Until its stdin and the command's output have ended."""
        for descriptor in (0, 1, self._into, self._out):
            os.set_blocking(descriptor, False)
        while not (self._closing and self._ended):
            self._fill()
            for descriptor in self._ready():
                if descriptor == 0:
                    self._hear()
                elif descriptor == 1:
                    self._say()
                elif descriptor == self._into:
                    self._feed()
                else:
                    self._take()

    def _ready(self) -> list[int]:
        wanted = {}
        if not self._closing:
            wanted[0] = selectors.EVENT_READ
        if not self._ended and (self._closing or len(self._kept) < _WINDOW):
            wanted[self._out] = selectors.EVENT_READ
        if self._pending:
            wanted[self._into] = selectors.EVENT_WRITE
        if self._leaving and not self._closing:
            wanted[1] = selectors.EVENT_WRITE
        for descriptor in list(self._selector.get_map()):
            self._selector.unregister(descriptor)
        for descriptor, events in wanted.items():
            self._selector.register(descriptor, events)
        return [key.fd for key, _ in self._selector.select()]

    def _fill(self) -> None:
        if not self._listened or len(self._leaving) >= _CHUNK:
            return
        piece = self._kept[self._told : self._told + _CHUNK]
        if piece:
            self._leaving += b"d %d\n" % len(piece) + piece
            self._told += len(piece)
        elif self._ended and not self._said_end:
            self._leaving += b"x\n"
            self._said_end = True

    def _say(self) -> None:
        try:
            del self._leaving[: os.write(1, self._leaving[:_CHUNK])]
        except OSError:
            return

    def _take(self) -> None:
        try:
            data = os.read(self._out, _CHUNK)
        except BlockingIOError:
            return
        if not data:
            self._ended = True
        elif not self._closing:
            self._kept += data

    def _feed(self) -> None:
        try:
            del self._pending[: os.write(self._into, self._pending[:_CHUNK])]
        except BlockingIOError:
            return
        except OSError:
            self._pending.clear()
        self._close_input()

    def _close_input(self) -> None:
        if self._closing and not self._pending and self._into >= 0:
            os.close(self._into)
            self._into = -1

    def _hear(self) -> None:
        try:
            data = os.read(0, 1 << 20)
        except BlockingIOError:
            return
        self._heard += data
        while self._handle():
            pass
        if not data:
            self._closing = True
            self._close_input()

    def _handle(self) -> bool:
        """Do what the next whole message says; False when there is none yet."""
        end = self._heard.find(b"\n")
        if end < 0:
            return False
        kind, offset, *rest = self._heard[:end].split()
        if kind == b"w":
            size = int(rest[0])
            if len(self._heard) < end + 1 + size:
                return False
            fresh = self._taken - int(offset)
            self._pending += self._heard[end + 1 + fresh : end + 1 + size]
            self._taken = max(self._taken, int(offset) + size)
            end += size
        else:
            self._confirm(int(offset))
            if kind == b"r":
                self._leaving = bytearray(b"\n@" + bytes(rest[0]) + b"\n")
                self._told, self._listened, self._said_end = 0, True, False
        del self._heard[: end + 1]
        return True

    def _confirm(self, offset: int) -> None:
        arrived = min(max(offset - self._base, 0), len(self._kept))
        del self._kept[:arrived]
        self._base += arrived
        self._told = max(self._told - arrived, 0)


def main() -> None:
    ctypes.CDLL(None).prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)
    pipe, null = subprocess.PIPE, subprocess.DEVNULL
    command = subprocess.Popen(sys.argv[1:], stdin=pipe, stdout=pipe, stderr=null, cwd="/", bufsize=0)
    if command.stdin is not None and command.stdout is not None:
        into = os.dup(command.stdin.fileno())
        command.stdin.close()
        Wire(into, command.stdout.fileno()).carry()
    os._exit(0)


if __name__ == "__main__":
    main()
