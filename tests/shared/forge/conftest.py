"""Real repositories, made by the real git program."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.forge.local import LocalForge

Git = Callable[..., str]


def git(folder: Path, *args: str, stdin: bytes = b"") -> str:
    """Run git as a person would, with an identity and no settings of the machine."""
    environment = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(folder),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_AUTHOR_NAME": "Ada",
        "GIT_AUTHOR_EMAIL": "ada@example.org",
        "GIT_COMMITTER_NAME": "Ada",
        "GIT_COMMITTER_EMAIL": "ada@example.org",
    }
    done = subprocess.run(["git", *args], cwd=folder, env=environment, input=stdin, capture_output=True, check=True)
    return done.stdout.decode(errors="surrogateescape").strip()


def commit_all(folder: Path, message: str = "change") -> str:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message", message)
    return git(folder, "rev-parse", "HEAD")


@pytest.fixture
def run_git() -> Git:
    return git


@pytest.fixture
def save() -> Callable[..., str]:
    return commit_all


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A repository with one commit on `main`: a module, a CRLF file, an executable, a file named outside ASCII."""
    folder = tmp_path / "my repo"
    folder.mkdir()
    git(folder, "init", "--quiet", "--initial-branch=main")
    (folder / "app.py").write_text("def load_conf():\n    return 1\n")
    (folder / "windows.txt").write_bytes(b"one\r\ntwo\r\n")
    (folder / "größe ünï.txt").write_text("hello\n")
    (folder / "run.sh").write_text("#!/bin/sh\n")
    (folder / "run.sh").chmod(0o755)
    (folder / ".gitignore").write_text("*.log\nbuild/\n")
    commit_all(folder, "first")
    return folder


@pytest.fixture
def forge(tmp_path: Path) -> LocalForge:
    return LocalForge(tmp_path / "data")
