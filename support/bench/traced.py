"""The command line like `persevere`; writes down in the file $PERSEVERE_DATA_DIR/trace.json when its child processes ran ([start, end])."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from asyncio import base_subprocess
from pathlib import Path
from typing import Any

started: dict[int, float] = {}
ran: list[tuple[float, float]] = []
process: Any = subprocess.Popen
transport: Any = base_subprocess.BaseSubprocessTransport
popen, wait, exited = process.__init__, process.wait, transport._process_exited


def note_start(self: subprocess.Popen[Any], *args: Any, **options: Any) -> None:
    begun = time.time()
    popen(self, *args, **options)
    started[self.pid] = begun


def note_end(pid: int | None) -> None:
    if pid is not None and (begun := started.pop(pid, None)):
        ran.append((begun, time.time()))


def note_wait(self: subprocess.Popen[Any], timeout: float | None = None) -> int:
    code: int = wait(self, timeout)
    note_end(self.pid)
    return code


def note_exit(self: Any, code: int) -> None:
    note_end(self.get_pid())
    exited(self, code)


if __name__ == "__main__":
    from agent_orchestrator.cli import main

    process.__init__, process.wait, transport._process_exited = note_start, note_wait, note_exit
    sys.argv[0] = "persevere"
    try:
        main()
    finally:
        Path(os.environ["PERSEVERE_DATA_DIR"], "trace.json").write_text(json.dumps(ran))
