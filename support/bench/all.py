"""Runs every measurement, one JSON line each."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

NAMES = (
    "help_time",
    "startup",
    "idle_memory",
    "chat_turn",
    "task_overhead",
    "streams",
    "lists",
    "events",
    "recovery",
    "throughput",
    "steps",
    "harness",
    "long_talk",
    "demo_time",
)

if __name__ == "__main__":
    here = Path(__file__).parent
    codes = [subprocess.run([sys.executable, here / f"{name}.py"], check=False).returncode for name in NAMES]
    sys.exit(max(codes))
