"""Whole tasks on a running server, medians in seconds: wall time, the time between the stages, the time in which no process ran.

`between_stages_s` is what passes before the first event of a stage: queue, graph, checkpoints, gates, and the client that approves.
`no_process_s` is the wall time without that in which git, the recipe, the sandbox or the tests run: it holds their Python part too.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from datetime import datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

from measure import PERSEVERE, ROOT, Running, data_folder, environment, percentile, running_server, tell

TASKS = 7
TRACED = Path(__file__).with_name("traced.py")
WORK = {"cloning", "dependencies", "planning", "coding", "testing", "pr_creation"}


def example(folder: Path) -> Path:
    shutil.copytree(ROOT / "support" / "examples" / "weather", folder, ignore=shutil.ignore_patterns("__pycache__"))
    for arguments in (["init", "-q", "-b", "main"], ["add", "-A"], ["-c", "user.name=B", "-c", "user.email=b@l", "commit", "-qm", "b"]):
        subprocess.run(["git", *arguments], cwd=folder, check=True)
    return folder


def one_task(data: Path, server: Running, repository: Path) -> list[dict[str, Any]]:
    """The task's events, each with its `at` in seconds."""
    said = ["chat", "rename load_conf to load_config", "--repo", str(repository), "--yes", "--json", "--url", server.url]
    done = subprocess.run([PERSEVERE, *said], env=environment(data), capture_output=True, text=True, check=True)
    events = [event for line in done.stdout.splitlines() if "seq" in (event := json.loads(line))]
    return [{**event, "at": datetime.fromisoformat(event["timestamp"]).timestamp()} for event in events]


def between_stages(events: list[dict[str, Any]]) -> float:
    gaps = [(event["at"], later) for event, later in pairwise(events)]
    return float(sum(later["at"] - at for at, later in gaps if later["stage"] not in WORK or later["type"] == "status_update"))


def covered(ran: list[list[float]], first: float, last: float) -> float:
    """Seconds between `first` and `last` in which at least one of the processes ran."""
    total, until = 0.0, first
    for start, end in sorted(ran):
        total += max(0.0, min(end, last) - max(start, until))
        until = max(until, end)
    return total


def main() -> None:
    with data_folder() as data:
        repository = example(data / "weather")
        with running_server(data, program=(sys.executable, TRACED)) as server:
            tasks = [one_task(data, server, repository) for _ in range(TASKS + 2)][2:]
        ran = json.loads((data / "trace.json").read_text())
    spans = [(events[0]["at"], events[-1]["at"]) for events in tasks]
    wall = percentile([last - first for first, last in spans], 0.5)
    between = percentile([between_stages(events) for events in tasks], 0.5)
    alone = percentile([last - first - covered(ran, first, last) for first, last in spans], 0.5)
    tell("task_overhead", tasks=len(tasks), wall_s=round(wall, 2), between_stages_s=round(between, 2), no_process_s=round(alone, 2))


if __name__ == "__main__":
    main()
