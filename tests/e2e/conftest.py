"""Real console script, real git, real database, real processes."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

PERSEVERE = Path(sys.executable).with_name("persevere")
GIT_ENVIRONMENT = {"GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": os.devnull}

SETTINGS_PY = '''"""Settings."""


def load_conf(path):
    return {"path": path}
'''
TEST_PY = """import unittest

from app.settings import load_conf


class SettingsTest(unittest.TestCase):
    def test_path(self):
        self.assertEqual(load_conf("x"), {"path": "x"})
"""
PROJECT = {"app/__init__.py": "", "app/settings.py": SETTINGS_PY, "tests/__init__.py": "", "tests/test_settings.py": TEST_PY}


@dataclass
class Ran:
    code: int
    out: str
    err: str
    lines: list[dict[str, Any]] = field(default_factory=list)

    @property
    def result(self) -> dict[str, Any]:
        assert self.lines, f"no JSON was printed; stderr: {self.err}"
        assert self.lines[-1]["type"] == "result"
        return self.lines[-1]


@dataclass
class Shell:
    """Runs `persevere` with a data folder of its own."""

    home: Path
    data: Path
    extra: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("PERSEVERE_") and key != "DATABASE_URL"}
        return {**kept, "HOME": str(self.home), "PERSEVERE_DATA_DIR": str(self.data), "COLUMNS": "160", **self.extra}

    def start(self, *arguments: str, cwd: Path | None = None, **options: Any) -> subprocess.Popen[str]:
        options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        return subprocess.Popen(
            [PERSEVERE, *arguments],
            cwd=cwd or self.home,
            env=self.environment,
            text=True,
            start_new_session=True,
            preexec_fn=heed_ctrl_c,
            **options,
        )

    def run(self, *arguments: str, cwd: Path | None = None, timeout: float = 120) -> Ran:
        with self.start(*arguments, cwd=cwd) as process:
            try:
                out, err = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        lines = [json.loads(line) for line in out.splitlines() if line.startswith("{")] if "--json" in arguments else []
        return Ran(process.returncode, out, err, lines)


def heed_ctrl_c() -> None:
    """A background shell starts its programs with SIGINT ignored; a person's terminal does not."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


def git(repository: Path, *arguments: str) -> str:
    result = subprocess.run(
        ["git", "-c", "user.name=T", "-c", "user.email=t@localhost", *arguments],
        cwd=repository,
        env={**os.environ, **GIT_ENVIRONMENT},
        capture_output=True,
        text=True,
        check=True,
    )
    return result.stdout


def task_branches(repository: Path) -> list[str]:
    return git(repository, "branch", "--list", "persevere/*", "--format=%(refname:short)").split()


MakeRepository = Callable[..., Path]


@pytest.fixture
def make_repository(tmp_path: Path) -> MakeRepository:
    def make(files: dict[str, str] | None = None, name: str = "repository") -> Path:
        repository = tmp_path / name
        for path, text in (PROJECT if files is None else files).items():
            (repository / path).parent.mkdir(parents=True, exist_ok=True)
            (repository / path).write_text(text, encoding="utf-8")
        git(repository, "init", "-q", "-b", "main")
        git(repository, "add", "-A")
        git(repository, "commit", "-q", "--no-verify", "-m", "first")
        return repository

    return make


HOLD = """
import asyncio, sys
from pathlib import Path
from shared.store.embedded import open_embedded_postgres

async def hold():
    async with open_embedded_postgres(Path(sys.argv[1])):
        print("open", flush=True)
        await asyncio.to_thread(sys.stdin.read)

asyncio.run(hold())
"""


@pytest.fixture(scope="session")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """One data folder for all files, its database kept open: no command has to start and stop it."""
    home = tmp_path_factory.mktemp("home")
    made = Shell(home, home / "data with späces")
    command = [sys.executable, "-c", HOLD, str(made.data)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "open\n"
        yield made
        holder.communicate(timeout=30)
    shutil.rmtree(home, ignore_errors=True)
