"""`make demo`: copies the example project, makes it a git repository, and takes one message to a pull request.

Everything stays in `.cache/demo`. On a terminal the approvals are asked; with YES=1, or without a terminal, they are answered.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
MESSAGE = "rename load_conf to load_config and keep the tests green"
PERSEVERE = Path(sys.executable).with_name("persevere")


def make_repository(folder: Path) -> None:
    """A git repository with one commit of the example, whatever the user's own git is configured to do."""
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(ROOT / "support" / "examples" / "weather", folder, ignore=shutil.ignore_patterns("__pycache__"))
    identity = ["-c", "user.name=Demo", "-c", "user.email=demo@localhost", "-c", "commit.gpgsign=false", "-c", "core.hooksPath=/dev/null"]
    environment = {**os.environ, "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}
    for arguments in (["init", "-q", "-b", "main"], ["add", "-A"], [*identity, "commit", "-q", "-m", "The weather station"]):
        subprocess.run(["git", *arguments], cwd=folder, check=True, env=environment)


def sandbox_environment(environment: dict[str, str]) -> dict[str, str]:
    """The demo's code is our own, so that the plain process may be taken where no sandbox works; it is said aloud."""
    doctor = subprocess.run([PERSEVERE, "doctor"], env=environment, capture_output=True, text=True, check=False)
    failing = [line for line in doctor.stdout.splitlines() if line.startswith("FAIL")]
    if len(failing) == 1 and "sandbox" in failing[0]:
        say("No sandbox works on this machine, so the demo runs its own example code as a plain process, which is NOT isolated.")
        say("For other repositories install one: `persevere doctor` says how.")
        return {**environment, "PERSEVERE_SANDBOX": "process"}
    return environment


def say(text: str) -> None:
    print(f"\033[1m{text}\033[0m" if sys.stdout.isatty() else text, flush=True)


def main() -> int:
    started = time.monotonic()
    place = ROOT / ".cache" / "demo"
    place.mkdir(parents=True, exist_ok=True)
    repository = Path(tempfile.mkdtemp(prefix="weather-", dir=place)) / "weather"
    make_repository(repository)
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PERSEVERE_") or key == "PERSEVERE_SANDBOX"}
    environment.pop("DATABASE_URL", None)
    environment["PERSEVERE_DATA_DIR"] = str(place / "data")
    if "PERSEVERE_SANDBOX" not in environment:
        environment = sandbox_environment(environment)
    arguments = ["chat", MESSAGE, "--repo", str(repository)]
    if os.environ.get("YES") == "1" or not (sys.stdin.isatty() and sys.stdout.isatty()):
        say("The approvals are answered for you (YES=1, or no terminal).")
        arguments.append("--yes")
    say(f'$ persevere chat "{MESSAGE}" --repo {repository.relative_to(ROOT)}')
    code = subprocess.run([PERSEVERE, *arguments], env=environment, check=False).returncode
    if code == 0:
        say(f"Done in {time.monotonic() - started:.0f} s. What the pull request changes:")
        branches = ["branch", "--list", "persevere/*", "--format=%(refname:short)"]
        branch = subprocess.run(["git", *branches], cwd=repository, capture_output=True, text=True, check=True).stdout.split()
        if branch:
            subprocess.run(["git", "--no-pager", "diff", "--stat", f"main..{branch[0]}"], cwd=repository, check=True)
        say('Now yours: .venv/bin/persevere chat "rename OLD to NEW" --repo PATH/TO/A/REPOSITORY')
    return code


if __name__ == "__main__":
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
