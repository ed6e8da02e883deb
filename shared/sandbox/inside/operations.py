"""One operation inside: a process, what goes into it and what comes out of it, within the room the other end has given."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from shared.errors import PersevereError
from shared.sandbox import workspace
from shared.sandbox.inside import work
from shared.sandbox.inside.frames import ERR, OUT, WINDOW
from shared.sandbox.inside.processes import keep_only, supervise


class Operation:
    """A forked child with its pipes. A command's input is gathered first, so that it need not be fed; a copy's is passed on as it comes."""

    def __init__(self, number: int, spec: dict[str, Any]) -> None:
        self.number, self.spec = number, spec
        self.command = spec["kind"] == "run"
        self.pid = 0
        self.outputs: dict[int, bytes] = {}
        self.room = {OUT: WINDOW, ERR: WINDOW}
        self.pending = bytearray()
        self.ended = False
        self.into: int | None = None
        self.alive: int | None = None
        self.report: int | None = None
        self.exit_status: int | None = None
        self.stopped: str | None = None
        self.note = ""
        self.started_at = self.stopped_at = 0.0
        self.result: dict[str, Any] = {}
        self._gathered = os.memfd_create("stdin", os.MFD_CLOEXEC) if self.command else None

    def take(self, data: bytes) -> int:
        """Input that came; how much of it is dealt with already."""
        if self._gathered is not None:
            os.write(self._gathered, data)
            return len(data)
        self.pending += data
        return 0

    def feed(self) -> int:
        """Pass on what the child accepts now; the number of bytes. What a child that is gone does not want is dealt with too."""
        try:
            count = os.write(self.into, memoryview(self.pending)[:65536]) if self.pending and self.into is not None else len(self.pending)
        except BlockingIOError:
            return 0
        except OSError:
            count = len(self.pending)
            self.ended = True
        del self.pending[:count]
        return count

    @property
    def fed(self) -> bool:
        """Whether the child has all of its input."""
        return self.ended and not self.pending

    def close_input(self) -> None:
        if self.into is not None:
            os.close(self.into)
            self.into = None

    def start(self) -> None:
        """Fork. OSError when that cannot be."""
        alive = os.pipe2(os.O_CLOEXEC)
        report = os.pipe2(os.O_CLOEXEC)
        out, err = os.pipe2(os.O_CLOEXEC), os.pipe2(os.O_CLOEXEC)
        source = os.pipe2(os.O_CLOEXEC) if self._gathered is None else (self._gathered, -1)
        if self._gathered is not None:
            os.lseek(self._gathered, 0, os.SEEK_SET)
        mine = [file for file in (alive[1], report[0], out[0], err[0], source[1]) if file >= 0]
        theirs = [alive[0], report[1], out[1], err[1], source[0]]
        try:
            self.pid = os.fork()
        except OSError:
            for file in (*mine, *theirs):
                os.close(file)
            self._gathered = None
            raise
        if self.pid == 0:
            keep_only(set(theirs))
            self._become((source[0], out[1], err[1]), alive[0], report[1])
        for file in theirs:
            os.close(file)
        self._gathered, self.started_at = None, time.monotonic()
        self.alive, self.report = alive[1], report[0]
        self.outputs = {out[0]: OUT, err[0]: ERR}
        if source[1] >= 0:
            self.into = source[1]
            os.set_blocking(self.into, False)

    def _become(self, streams: tuple[int, int, int], alive: int, report: int) -> None:
        signal.set_wakeup_fd(-1)
        try:
            if not self.command:
                os.write(report, json.dumps(work.perform(self.spec, streams[0], streams[1])).encode())
                os._exit(0)
            root, cwd = self.spec["root"], self.spec["cwd"]
            if not workspace.exists(Path(root), cwd):
                os.write(report, json.dumps({"code": "not_found", "message": f"There is no folder {cwd} in the workspace."}).encode())
                os._exit(0)
            streams = streams if self.spec["stdin"] else (0, *streams[1:])
            supervise({**self.spec, "cwd": os.path.join(root, cwd)}, streams, alive, report)
        except PersevereError as error:
            os.write(report, json.dumps({"code": error.code, "message": error.message, "next_step": error.next_step}).encode())
        except BaseException:
            traceback.print_exc(file=sys.stderr)
        finally:
            os._exit(1)

    def stop(self, reason: str | None, now: float, note: str = "") -> None:
        """The child sees that `alive` is closed and ends its tree."""
        if self.stopped_at == 0.0:
            self.stopped, self.note, self.stopped_at = reason, note, now
        if self.alive is not None:
            os.close(self.alive)
            self.alive = None
        if self.pid and not self.command and self.exit_status is None:
            with contextlib.suppress(OSError):
                os.kill(self.pid, signal.SIGKILL)

    def read_result(self) -> None:
        """After its end: what the child reported, or that it was killed before it could."""
        text = b""
        if self.report is not None:
            while data := os.read(self.report, 65536):
                text += data
        found = json.loads(text) if text else {"exit": 137, "processes": 0}
        self.result = {**found, "stopped": self.stopped, "note": self.note}

    def close(self) -> None:
        for file in (*self.outputs, self.into, self.alive, self.report, self._gathered):
            if file is not None:
                os.close(file)
        self.outputs, self.into, self.alive, self.report, self._gathered = {}, None, None, None, None
