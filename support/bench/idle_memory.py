"""Memory of an idle server and of its database in MB (proportional), beside a process that only imports the same packages."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from measure import BARE_IMPORT, data_folder, memory_mb, process_tree, running_server, tell

from shared.store.postgres_cluster import server_pid
from shared.store.postgres_places import find_places

SETTLED_S = 5


@contextmanager
def bare_process() -> Iterator[int]:
    """Lives as long as the server, so that what both share with others is divided alike."""
    bare = subprocess.Popen(
        [sys.executable, "-c", f"{BARE_IMPORT}; print(flush=True); input()"], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert bare.stdout is not None
    bare.stdout.readline()
    try:
        yield bare.pid
    finally:
        bare.communicate(b"\n")


def database_mb(data: Path) -> float:
    postmaster = server_pid(find_places(data))
    assert postmaster is not None
    return sum(memory_mb(pid) for pid in process_tree(postmaster))


def main() -> None:
    with data_folder() as data, bare_process() as bare:
        for start in ("first", "later"):
            with running_server(data) as server:
                time.sleep(SETTLED_S)
                mine, other, database = memory_mb(server.process.pid), memory_mb(bare), database_mb(data)
            tell(
                "idle_memory",
                start=start,
                server_mb=round(mine),
                bare_mb=round(other),
                ratio=round(mine / other, 2),
                database_mb=round(database),
            )


if __name__ == "__main__":
    main()
