"""The commit's own verdict: its files checked out and its tests run, without any part of the agents, in the environment they made."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ElementTree
from dataclasses import dataclass
from pathlib import Path

from replay_commits import git

LIMIT_S = 300
_VERDICTS = {0: "passed", 1: "failed", 2: "failed", 5: "none"}


@dataclass(frozen=True)
class OwnVerdict:
    """`passed`, `failed`, `none`, `error` or `timeout`; counts of tests; what was printed last."""

    verdict: str
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    output: str = ""


@dataclass(frozen=True)
class Surroundings:
    """As the tests of the change were run: the cached environment (None: no packages), and whether the project was installed in it."""

    command: tuple[str, ...]
    environment: Path | None
    installed: bool


def surroundings(output: str, environments: Path) -> Surroundings | None:
    """From the output that the task keeps of its tests; None when none were run."""
    lines = [shlex.split(line[2:]) for line in output.splitlines() if line.startswith("$ /")]
    tests = [words for words in lines if words[1:3] in (["-m", "pytest"], ["-m", "unittest"])]
    if not tests:
        return None
    words = [word for word in tests[-1][1:] if not word.startswith("--junitxml")]
    installed = "/.persevere/venv/" in tests[-1][0]
    if found := re.search(re.escape(str(environments)) + r"/(\w+)/content/", tests[-1][0]):
        return Surroundings(tuple(words), environments / found[1] / "content", installed)
    if not installed:
        return Surroundings(tuple(words), None, installed)
    newest = max(environments.glob("*/complete"), key=lambda marker: marker.stat().st_mtime)
    return Surroundings(tuple(words), newest.parent / "content", installed)


def own_verdict(repository: Path, commit: str, around: Surroundings) -> OwnVerdict:
    with tempfile.TemporaryDirectory(prefix="persevere-replay-", ignore_cleanup_errors=True) as scratch:
        folder = Path(scratch) / "commit"
        folder.mkdir()
        index = Path(scratch) / "index"
        git(repository, "read-tree", commit, index=index)
        git(repository, f"--work-tree={folder}", "checkout-index", "--all", "--quiet", index=index)
        python = str(around.environment / "bin" / "python") if around.environment else _base_python()
        if around.installed and around.environment is not None:
            python = _install(Path(scratch) / "venv", around.environment, folder)
        return _run(python, around.command, folder, Path(scratch) / "report.xml")


def _base_python() -> str:
    return str(getattr(sys, "_base_executable", None) or sys.executable)


def _surely(*command: str, folder: Path, environment: dict[str, str]) -> None:
    subprocess.run(command, cwd=folder, check=True, capture_output=True, timeout=LIMIT_S, env=environment)


def _install(venv: Path, below: Path, folder: Path) -> str:
    """An environment on top of the cached one, with the project in it."""
    environment = {**os.environ, **dict.fromkeys(("SETUPTOOLS_SCM_PRETEND_VERSION", "PDM_BUILD_SCM_VERSION", "PBR_VERSION"), "0.0.0")}
    _surely(_base_python(), "-I", "-m", "venv", "--without-pip", str(venv), folder=folder, environment=environment)
    python = str(venv / "bin" / "python")
    pip = (str(below / "bin" / "python"), "-I", "-m", "pip", f"--python={python}")
    _surely(*pip, "install", "--no-deps", "--no-input", "-q", "-e", ".", folder=folder, environment=environment)
    packages = next(below.glob("lib/python*/site-packages"))
    next(venv.glob("lib/python*/site-packages")).joinpath("_below.pth").write_text(f"import site; site.addsitedir({str(packages)!r})\n")
    return python


def _run(python: str, command: tuple[str, ...], folder: Path, report: Path) -> OwnVerdict:
    places = ["src", "."] if (folder / "src").is_dir() else ["."]
    environment = {
        "PATH": f"{Path(python).parent}:/usr/local/bin:/usr/bin:/bin",
        "HOME": str(folder.parent),
        "LANG": "C.UTF-8",
        "PYTHONPATH": ":".join(str(folder / place) for place in places),
    }
    by_pytest = "pytest" in command
    argv = [python, *command, *([f"--junitxml={report}"] if by_pytest else [])]
    try:
        ran = subprocess.run(argv, cwd=folder, env=environment, capture_output=True, timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        return OwnVerdict("timeout")
    output = (ran.stdout + ran.stderr).decode("utf-8", "replace")[-4000:]
    if by_pytest and report.is_file():
        return _of_report(ran.returncode, report, output)
    if by_pytest:
        # pytest itself could not begin: too old for this Python, perhaps.
        return OwnVerdict("none" if ran.returncode == 5 else "error", output=output)
    return _of_unittest(ran.returncode, output)


def _of_report(code: int, report: Path, output: str) -> OwnVerdict:
    """Its test cases; the totals it names count subtests as well."""
    cases = list(ElementTree.parse(report).iter("testcase"))
    failed = sum(case.find("failure") is not None or case.find("error") is not None for case in cases)
    skipped = sum(case.find("failure") is None and case.find("error") is None and case.find("skipped") is not None for case in cases)
    verdict = "none" if code == 0 and len(cases) == skipped else _VERDICTS.get(code, "error")
    return OwnVerdict(verdict, len(cases) - failed - skipped, failed, skipped, output)


def _of_unittest(code: int, output: str) -> OwnVerdict:
    count = {
        name: int(found[1]) if (found := re.search(rf"\b{name}[= ](\d+)", output)) else 0
        for name in ("Ran", "failures", "errors", "skipped")
    }
    failed = count["failures"] + count["errors"]
    verdict = "none" if not count["Ran"] else ("passed" if code == 0 else "failed")
    return OwnVerdict(verdict, count["Ran"] - failed - count["skipped"], failed, count["skipped"], output)
