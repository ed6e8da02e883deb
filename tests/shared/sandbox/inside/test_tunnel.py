"""What connects inside is carried to the other end, so many at a time."""

from __future__ import annotations

import contextlib
import selectors
import socket

from shared.sandbox.inside.frames import CONNECTION, RESULT, STOP, Frame
from shared.sandbox.inside.tunnel import Tunnel
from shared.sandbox.limits import CONNECTIONS


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def test_too_many_connections_wait_until_others_end() -> None:
    sent: list[tuple[bytes, int]] = []
    with selectors.DefaultSelector() as selector, contextlib.ExitStack() as clients:
        tunnel = Tunnel(selector, lambda kind, number, payload: sent.append((kind, number)))

        def turn() -> list[int]:
            for _ in range(2 * CONNECTIONS):
                tunnel.register(True)
                for key, _ in selector.select(0):
                    key.data()
            return [number for kind, number in sent if kind == CONNECTION]

        port = free_port()
        tunnel.listen(1, port)
        for _ in range(CONNECTIONS + 10):
            clients.enter_context(socket.create_connection(("127.0.0.1", port), 5))
        numbers = turn()
        assert len(numbers) == CONNECTIONS
        for number in numbers[:3]:
            tunnel.handle(Frame(STOP, number))
        assert len(turn()) == CONNECTIONS + 3
        tunnel.handle(Frame(STOP, 1))
        assert (RESULT, 1) in sent
        assert not selector.get_map()
        tunnel.listen(2, port)
        clients.enter_context(socket.create_connection(("127.0.0.1", port), 5))
        assert len(turn()) == CONNECTIONS + 4, "it listens again"
        tunnel.handle(Frame(STOP, 2))
