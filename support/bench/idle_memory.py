"""Memory of an idle server and of its database in MB, beside a process that only imports the same packages."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from measure import BARE_IMPORT, data_folder, memory_mb, running_server, tell


def database_mb(data: Path) -> float:
    """All processes that work in the data folder's PostgreSQL."""
    total = 0.0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if (entry / "cwd").resolve().is_relative_to(data.resolve()) and b"postgres" in (entry / "cmdline").read_bytes():
                total += memory_mb(int(entry.name))
        except OSError:
            continue
    return total


def main() -> None:
    bare = subprocess.Popen(
        [sys.executable, "-c", f"{BARE_IMPORT}; print(flush=True); input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert bare.stdout is not None
    bare.stdout.readline()
    bare_mb = memory_mb(bare.pid)
    bare.communicate(b"\n")
    with data_folder() as data, running_server(data) as server:
        time.sleep(5)
        mine, database = memory_mb(server.process.pid), database_mb(data)
    tell("idle_memory", server_mb=round(mine), bare_mb=round(bare_mb), ratio=round(mine / bare_mb, 2), database_mb=round(database))


if __name__ == "__main__":
    main()
