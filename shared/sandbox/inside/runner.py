"""The one process of ours inside: it is told over its stdin what to do and answers over its stdout. See `frames`.

`OPEN` with JSON (`PART` brings its beginning, if it is long) starts an operation, by `kind`: `run` (argv, cwd, environment, root,
stdin, file_bytes), those of `work`, `limits`, `listen` (port), which lets connections to that loopback port through until it is stopped,
and `ping`. `DATA` and `ENDED` are its input, `STOP` ends it. `OUT` and `ERR` are its output, `RESULT` is JSON and comes last. When stdin
ends, everything is ended.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import struct
import sys
import time
from typing import Any

from shared.sandbox.inside import processes
from shared.sandbox.inside.frames import DATA, ENDED, HELLO, LARGEST, OPEN, PART, RESULT, ROOM, STOP, Decoder, Frame, encode
from shared.sandbox.inside.operations import Operation
from shared.sandbox.inside.tunnel import Tunnel
from shared.sandbox.inside.watch import Watch

_BACKLOG = 1024 * 1024
_PATIENCE_S = 3.0


class Runner:
    def __init__(self, text: bool, orphans: processes.Orphans) -> None:
        self._text, self._orphans = text, orphans
        self._decoder = Decoder(text)
        self._out = bytearray()
        self._parts: dict[int, bytes] = {}
        self._operations: dict[int, Operation] = {}
        self._watch = Watch()
        self._selector = selectors.DefaultSelector()
        self._tunnel = Tunnel(self._selector, self.send)
        self._interest: dict[int, int] = {}
        self._over = False

    def send(self, kind: bytes, number: int, payload: bytes = b"") -> None:
        self._out += encode(Frame(kind, number, payload), self._text)

    def serve(self) -> None:
        """Until stdin ends."""
        wakeup, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
        os.set_blocking(0, False)
        os.set_blocking(1, False)
        self._selector.register(0, selectors.EVENT_READ, "in")
        self._selector.register(wakeup, selectors.EVENT_READ, "child")
        while not self._over:
            self._register()
            for key, _ in self._selector.select(0.1 if self._operations else 60):
                if key.data == "in":
                    self._receive()
                elif key.data == "child":
                    os.read(wakeup, 4096)
                elif isinstance(key.data, tuple):
                    self._move(key.data[0], key.fd)
                elif callable(key.data):
                    key.data()
            self._reap()
            self._look()
            self._flush()
        self._end_all()

    def _register(self) -> None:
        """What to wait for now: outputs only while there is room for them."""
        wanted: dict[int, tuple[int, Any]] = {}
        if self._out:
            wanted[1] = (selectors.EVENT_WRITE, "out")
        if len(self._out) < _BACKLOG:
            for operation in self._operations.values():
                wanted.update(
                    {file: (selectors.EVENT_READ, (operation,)) for file, kind in operation.outputs.items() if operation.room[kind] > 0}
                )
        for operation in self._operations.values():
            if operation.into is not None and (operation.pending or operation.ended):
                wanted[operation.into] = (selectors.EVENT_WRITE, (operation,))
        for file in self._interest.keys() - wanted.keys():
            with contextlib.suppress(KeyError, ValueError):
                self._selector.unregister(file)
        for file, (events, data) in wanted.items():
            if self._interest.get(file) is None:
                self._selector.register(file, events, data)
            else:
                self._selector.modify(file, events, data)
        self._interest = {file: events for file, (events, _) in wanted.items()}
        self._tunnel.register(len(self._out) < _BACKLOG)

    def _receive(self) -> None:
        while True:
            try:
                data = os.read(0, _BACKLOG)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._over = True
                return
            for frame in self._decoder.feed(data):
                self._handle(frame)

    def _handle(self, frame: Frame) -> None:
        operation = self._operations.get(frame.number)
        if frame.kind == PART:
            self._parts[frame.number] = self._parts.get(frame.number, b"") + frame.payload
        elif frame.kind == OPEN:
            self._open(frame.number, json.loads(self._parts.pop(frame.number, b"") + frame.payload))
        elif self._tunnel.handle(frame) or operation is None:
            return
        elif frame.kind == DATA:
            self._room(operation, operation.take(frame.payload))
        elif frame.kind == ENDED:
            operation.ended = True
            if operation.command:
                self._start(operation)
        elif frame.kind == ROOM:
            kind, size = struct.unpack(">cI", frame.payload)
            operation.room[kind] += size
        elif frame.kind == STOP:
            operation.stop(None, time.monotonic())
            if not operation.pid:
                self._finish(operation)

    def _open(self, number: int, spec: dict[str, Any]) -> None:
        kind = spec["kind"]
        if kind == "ping":
            self.send(RESULT, number, b"{}")
        elif kind == "limits":
            self.send(RESULT, number, json.dumps({"used": self._watch.limit(spec)}).encode())
        elif kind == "listen":
            self._tunnel.listen(number, spec["port"])
        else:
            if kind == "run" and self._orphans.needed:
                spec["environment"][processes.Orphans.VARIABLE] = str(number)
            operation = Operation(number, spec)
            self._operations[number] = operation
            if not operation.command or not spec["stdin"]:
                self._start(operation)

    def _start(self, operation: Operation) -> None:
        self._flush()
        try:
            operation.start()
        except OSError as error:
            message = {"code": "sandbox_unavailable", "message": f"The sandbox can start no more processes: {error.strerror}."}
            self.send(RESULT, operation.number, json.dumps(message).encode())
            operation.close()
            del self._operations[operation.number]

    def _move(self, operation: Operation, file: int) -> None:
        if file == operation.into:
            self._room(operation, operation.feed())
        elif file in operation.outputs:
            kind = operation.outputs[file]
            data = os.read(file, min(LARGEST, max(operation.room[kind], 1)))
            if data:
                operation.room[kind] -= len(data)
                self.send(kind, operation.number, data)
                return
            del operation.outputs[file]
            self._forget(file)
            os.close(file)

    def _forget(self, file: int) -> None:
        if self._interest.pop(file, None) is not None:
            self._selector.unregister(file)

    def _room(self, operation: Operation, size: int) -> None:
        if size:
            self.send(ROOM, operation.number, struct.pack(">cI", DATA, size))
        if operation.into is not None and operation.fed:
            self._forget(operation.into)
            operation.close_input()

    def _reap(self) -> None:
        stray = False
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                break
            if pid == 0:
                break
            for operation in self._operations.values():
                if operation.pid == pid:
                    operation.exit_status = status
                    stray = stray or status != 0
                    if operation.command:
                        alone = not any(other.command and other.pid and other.exit_status is None for other in self._operations.values())
                        self._orphans.end(operation.number, alone)
        if stray:
            self._end_strays()
        for operation in list(self._operations.values()):
            if operation.exit_status is not None and not operation.outputs:
                self._finish(operation)

    def _finish(self, operation: Operation) -> None:
        operation.read_result()
        self.send(RESULT, operation.number, json.dumps({**operation.result, **self._watch.verdict(operation)}).encode())
        for file in (operation.into, *operation.outputs):
            if file is not None:
                self._forget(file)
        operation.close()
        del self._operations[operation.number]

    def _end_strays(self) -> None:
        """A supervisor was killed from inside: what it watched over is our own child now."""
        for _ in range(100):
            seen = processes.scan()
            known = {operation.pid for operation in self._operations.values()}
            strays = {pid for pid, (parent, _) in seen.items() if parent == os.getpid() and pid not in known}
            if not strays:
                return
            processes.kill(strays | {pid for stray in strays for pid in processes.below(stray, seen)})
            with contextlib.suppress(ChildProcessError):
                for pid in strays:
                    os.waitpid(pid, 0)

    def _look(self) -> None:
        now = time.monotonic()
        for operation in self._operations.values():
            if operation.stopped_at and operation.exit_status is None and now - operation.stopped_at > _PATIENCE_S:
                processes.kill({operation.pid})
        self._watch.look(now, [operation for operation in self._operations.values() if operation.command and operation.pid])

    def _flush(self) -> None:
        with contextlib.suppress(BlockingIOError):
            while self._out:
                try:
                    del self._out[: os.write(1, memoryview(self._out)[:_BACKLOG])]
                except BrokenPipeError:
                    self._over = True
                    return

    def _end_all(self) -> None:
        for operation in self._operations.values():
            operation.stop(None, time.monotonic())
        time.sleep(0.05)
        for _ in range(100):
            mine = processes.below(os.getpid(), processes.scan())
            if not mine:
                break
            processes.kill(mine)
            with contextlib.suppress(ChildProcessError):
                while os.waitpid(-1, os.WNOHANG)[0]:
                    pass


def main(options: dict[str, Any]) -> None:
    """`options`: text, host (how the host's processes are told from ours), take_over, home (a folder to make)."""
    processes.harden()
    ours_alone = processes.only_ours(options["host"])
    if options["take_over"] and ours_alone:
        processes.take_over()
    os.makedirs(options["home"], exist_ok=True)
    os.umask(0o022)
    runner = Runner(options["text"], processes.Orphans(options["take_over"] and ours_alone))
    runner.send(HELLO, 0, json.dumps({"version": list(sys.version_info[:3])}).encode())
    runner.serve()
    os._exit(0)
