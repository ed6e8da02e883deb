"""`make demo` from a fresh clone to the pull request, on a warm package cache (seconds)."""

from __future__ import annotations

import os
import subprocess
import time

from measure import ROOT, data_folder, tell


def main() -> None:
    with data_folder() as folder:
        subprocess.run(["git", "clone", "-q", str(ROOT), str(folder / "clone")], check=True)
        started = time.perf_counter()
        first = subprocess.run(["make", "demo"], cwd=folder / "clone", env={**os.environ, "YES": "1"}, capture_output=True, check=False)
        fresh = time.perf_counter() - started
        started = time.perf_counter()
        subprocess.run(["make", "demo"], cwd=folder / "clone", env={**os.environ, "YES": "1"}, capture_output=True, check=True)
        tell("demo_time", exit_code=first.returncode, fresh_clone_s=round(fresh, 1), again_s=round(time.perf_counter() - started, 1))


if __name__ == "__main__":
    main()
