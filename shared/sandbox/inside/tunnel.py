"""Connections to a loopback port inside, carried to the other end as operations of their own."""

from __future__ import annotations

import contextlib
import json
import selectors
import socket
import struct
from collections.abc import Callable

from shared.sandbox.inside.frames import CONNECTION, DATA, ENDED, LARGEST, OUT, RESULT, ROOM, STOP, WINDOW, Frame
from shared.sandbox.limits import CONNECTIONS

_FIRST = 1 << 31


class _Connection:
    def __init__(self, number: int, client: socket.socket) -> None:
        self.number, self.client = number, client
        self.pending = bytearray()
        self.room = WINDOW
        self.reading, self.ended = True, False


class Tunnel:
    """Listens only between `listen` and the `STOP` of that operation. `send(kind, number, payload)` is the way out."""

    def __init__(self, selector: selectors.BaseSelector, send: Callable[[bytes, int, bytes], None]) -> None:
        self._selector, self._send = selector, send
        self._listener: socket.socket | None = None
        self._accepting = False
        self._number = 0
        self._last = _FIRST
        self._connections: dict[int, _Connection] = {}

    def knows(self, number: int) -> bool:
        return number >= _FIRST

    def listen(self, number: int, port: int) -> None:
        try:
            self._listener = socket.create_server(("127.0.0.1", port), backlog=64)
        except OSError as error:
            message = {"code": "sandbox_unavailable", "message": f"Port {port} inside the sandbox is taken: {error.strerror}."}
            self._send(RESULT, number, json.dumps(message).encode())
            return
        self._listener.setblocking(False)
        self._number = number
        self._send(OUT, number, b"listening")

    def handle(self, frame: Frame) -> bool:
        """Whether the frame was for a connection or for the listener."""
        if self._listener is not None and frame.number == self._number:
            if frame.kind == STOP:
                self._close_all()
            return True
        if not self.knows(frame.number):
            return False
        connection = self._connections.get(frame.number)
        if connection is not None:
            self._answer(connection, frame)
        return True

    def register(self, room: bool) -> None:
        """Wait for what each connection can do now; without `room` nothing more is read. Too many connections wait to be accepted."""
        self._listen(len(self._connections) < CONNECTIONS)
        for connection in self._connections.values():
            events = selectors.EVENT_READ if room and connection.reading and connection.room > 0 else 0
            events |= selectors.EVENT_WRITE if connection.pending else 0
            with contextlib.suppress(KeyError):
                self._selector.unregister(connection.client)
            if events:
                self._selector.register(connection.client, events, lambda connection=connection: self._move(connection))

    def _listen(self, accepting: bool) -> None:
        if self._listener is None or accepting == self._accepting:
            return
        if accepting:
            self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        else:
            self._selector.unregister(self._listener)
        self._accepting = accepting

    def _accept(self) -> None:
        if self._listener is None:
            return
        with contextlib.suppress(OSError):
            client, _ = self._listener.accept()
            client.setblocking(False)
            self._last += 1
            self._connections[self._last] = _Connection(self._last, client)
            self._send(CONNECTION, self._last, b"")

    def _answer(self, connection: _Connection, frame: Frame) -> None:
        if frame.kind == DATA:
            connection.pending += frame.payload
        elif frame.kind == ENDED:
            connection.ended = True
        elif frame.kind == ROOM:
            connection.room += struct.unpack(">cI", frame.payload)[1]
        elif frame.kind == STOP:
            self._close(connection)
            return
        self._write(connection)

    def _move(self, connection: _Connection) -> None:
        """What the selector told: in the same round the connection may have been closed already."""
        if connection.number in self._connections:
            self._write(connection)
        if connection.number not in self._connections or not connection.reading or connection.room <= 0:
            return
        try:
            data = connection.client.recv(min(LARGEST, connection.room))
        except BlockingIOError:
            return
        except OSError:
            self._close(connection)
            return
        if data:
            connection.room -= len(data)
            self._send(OUT, connection.number, data)
        else:
            connection.reading = False
            self._send(ENDED, connection.number, b"")

    def _write(self, connection: _Connection) -> None:
        if connection.pending:
            try:
                count = connection.client.send(connection.pending)
            except BlockingIOError:
                return
            except OSError:
                self._close(connection)
                return
            del connection.pending[:count]
            self._send(ROOM, connection.number, struct.pack(">cI", DATA, count))
        if connection.ended and not connection.pending:
            self._close(connection)

    def _close(self, connection: _Connection) -> None:
        if self._connections.pop(connection.number, None) is None:
            return
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(connection.client)
        connection.client.close()
        self._send(RESULT, connection.number, b"{}")

    def _close_all(self) -> None:
        if self._listener is not None:
            self._listen(False)
            self._listener.close()
            self._listener = None
        for connection in list(self._connections.values()):
            self._close(connection)
        self._send(RESULT, self._number, b"{}")
