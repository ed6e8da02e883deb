"""What the measurements share: a server in a data folder of its own, percentiles, the memory of a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PERSEVERE = Path(sys.executable).with_name("persevere")
BARE_IMPORT = (
    "import fastapi, uvicorn, langgraph.graph, sqlalchemy.ext.asyncio, psycopg, procrastinate"  # what any such server has to import
)


@dataclass(frozen=True)
class Running:
    url: str
    token: str
    process: subprocess.Popen[str]
    ready_s: float


def environment(data: Path) -> dict[str, str]:
    kept = {key: value for key, value in os.environ.items() if not key.startswith("PERSEVERE_") and key != "DATABASE_URL"}
    return {**kept, "PERSEVERE_DATA_DIR": str(data)}


@contextmanager
def running_server(data: Path, *options: str, program: Sequence[str | Path] = (PERSEVERE,)) -> Iterator[Running]:
    """`persevere serve` on a free port, until the block ends. `ready_s` seconds from its start to its first line."""
    started = time.perf_counter()
    command = [*program, "serve", "--port", "0", *options]
    process = subprocess.Popen(command, env=environment(data), stdout=subprocess.PIPE, text=True, cwd=data)
    assert process.stdout is not None
    try:
        url = process.stdout.readline().split()[-1]
        yield Running(url, (data / "token").read_text().strip(), process, time.perf_counter() - started)
    finally:
        process.terminate()
        process.wait(timeout=60)


@contextmanager
def data_folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="persevere-bench-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def percentile(values: Sequence[float], part: float) -> float:
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def memory_mb(pid: int) -> float:
    """Proportional memory of one process in MB (Linux)."""
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


def process_tree(pid: int) -> list[int]:
    """The process and all its descendants (Linux)."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            parents.setdefault(int(entry.read_text().rpartition(")")[2].split()[1]), []).append(int(entry.parent.name))
    tree = [pid]
    for known in tree:
        tree += parents.get(known, [])
    return tree


def python_s(code: str, times: int = 5) -> float:
    """Median seconds of a fresh interpreter that runs `code`."""
    taken = []
    for _ in range(times):
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, capture_output=True)
        taken.append(time.perf_counter() - started)
    return percentile(taken, 0.5)


def tell(name: str, **figures: object) -> None:
    print(json.dumps({"bench": name, **figures}), flush=True)
