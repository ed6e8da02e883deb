"""Median seconds of `persevere --help`."""

from __future__ import annotations

import subprocess
import time

from measure import PERSEVERE, percentile, tell


def main() -> None:
    taken = []
    for _ in range(10):
        started = time.perf_counter()
        subprocess.run([PERSEVERE, "--help"], capture_output=True, check=True)
        taken.append(time.perf_counter() - started)
    tell("help_time", p50_s=round(percentile(taken, 0.5), 3), worst_s=round(max(taken), 3))


if __name__ == "__main__":
    main()
