"""Started inside a network of its own: `python -I -S forwarder.py PORT SOCKET COMMAND...`. Standard library only.

Listens on loopback and carries each connection to the unix socket, in a child; the process itself becomes the command.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading


def _carry(source: socket.socket, target: socket.socket) -> None:
    try:
        while data := source.recv(65536):
            target.sendall(data)
    except OSError:
        pass
    try:
        target.shutdown(socket.SHUT_WR)
    except OSError:
        pass


def _serve(client: socket.socket, path: str) -> None:
    with client, socket.socket(socket.AF_UNIX) as upstream:
        try:
            upstream.connect(path)
        except OSError:
            return
        back = threading.Thread(target=_carry, args=(upstream, client), daemon=True)
        back.start()
        _carry(client, upstream)
        back.join()


def main() -> None:
    port, path, command = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
    listener = socket.create_server(("127.0.0.1", port), backlog=64)
    if os.fork():
        listener.close()
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        try:
            os.execvp(command[0], command)
        except OSError as error:
            os.write(2, f"sandbox: {command[0]}: {error.strerror}\n".encode("utf-8", "replace"))
            os._exit(126 if isinstance(error, PermissionError) else 127)
    os.setsid()
    null = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(null, descriptor)
    while True:
        client, _ = listener.accept()
        try:
            threading.Thread(target=_serve, args=(client, path), daemon=True).start()
        except RuntimeError:
            client.close()


if __name__ == "__main__":
    main()
