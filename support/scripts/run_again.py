"""Runs the tests that failed once more, if they are few, and names them. Exit code 1 when there are many, none, or one fails again."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
FAILED = ROOT / ".pytest_cache" / "v" / "cache" / "lastfailed"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--most", type=int, default=3, help="How many failures are worth a second look.")
    most = parser.parse_args().most
    failed = sorted(json.loads(FAILED.read_text())) if FAILED.exists() else []
    if not 0 < len(failed) <= most:
        print(f"{len(failed)} tests failed; nothing is run again.")
        return 1
    print("Failed, and run once more:", *failed, sep="\n  ", flush=True)
    return 1 if subprocess.run([sys.executable, "-m", "pytest", *failed], cwd=ROOT, check=False).returncode else 0


if __name__ == "__main__":
    sys.exit(main())
