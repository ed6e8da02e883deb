"""A whole task by its own events: wall time, and what is left when git, recipe, sandbox and tests are taken away (seconds)."""

from __future__ import annotations

import json
import shutil
import subprocess
from datetime import datetime

from measure import PERSEVERE, ROOT, data_folder, environment, tell

WORK = {"cloning", "dependencies", "planning", "coding", "testing", "pr_creation"}


def main() -> None:
    with data_folder() as data:
        repository = data / "weather"
        shutil.copytree(ROOT / "support" / "examples" / "weather", repository, ignore=shutil.ignore_patterns("__pycache__"))
        for arguments in (["init", "-q", "-b", "main"], ["add", "-A"], ["-c", "user.name=B", "-c", "user.email=b@l", "commit", "-qm", "b"]):
            subprocess.run(["git", *arguments], cwd=repository, check=True)
        command = [str(PERSEVERE), "chat", "rename load_conf to load_config", "--repo", str(repository), "--yes", "--json"]
        out = subprocess.run(command, env=environment(data / "d"), capture_output=True, text=True, check=True).stdout
    events = [event for line in out.splitlines() if "seq" in (event := json.loads(line))]
    times = [datetime.fromisoformat(event["timestamp"]).timestamp() for event in events]
    wall = times[-1] - times[0]
    gaps = zip(events, events[1:], times, times[1:], strict=False)
    worked = sum(later - earlier for _, event, earlier, later in gaps if event["stage"] in WORK and event["type"] != "status_update")
    gap_list = zip(events[1:], times, times[1:], strict=False)
    slowest = sorted(((round(b - a, 3), e["stage"], e["type"]) for e, a, b in gap_list), reverse=True)[:6]
    tell("task_overhead", wall_s=round(wall, 3), outside_the_work_s=round(wall - worked, 3), slowest=slowest)


if __name__ == "__main__":
    main()
