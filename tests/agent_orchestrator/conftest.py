"""A whole process' resources on a fresh database, and a small real repository to work on."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from agent_orchestrator.resources import Resources, open_resources
from config.settings import Settings

OpenResources = Callable[..., AbstractAsyncContextManager[Resources]]

SOURCE = '''def load_conf(path):
    """Read `path`."""
    return path.upper()
'''
TESTS = """import unittest

from app import load_conf


class LoadTest(unittest.TestCase):
    def test_load(self):
        self.assertEqual(load_conf("a"), "A")
"""


def git(repo: Path, *argv: str) -> str:
    """Run git in a repository of the test's own; what it printed."""
    identity = ["-c", "user.name=Test", "-c", "user.email=test@localhost", "-c", "commit.gpgsign=false"]
    return subprocess.run(["git", *identity, *argv], cwd=repo, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A git repository with one function and its test, on branch `main`."""
    repo = tmp_path / "repository"
    repo.mkdir()
    (repo / "app.py").write_text(SOURCE)
    (repo / "test_app.py").write_text(TESTS)
    git(repo, "init", "-q", "-b", "main")
    git(repo, "add", "-A")
    git(repo, "commit", "-q", "-m", "start")
    return repo


@pytest.fixture
def settings(tmp_path: Path, postgres_url: str) -> Settings:
    return Settings(data_dir=tmp_path / "data", database_url=postgres_url, worker_concurrency=2)


@pytest.fixture
async def resources(settings: Settings) -> AsyncIterator[Resources]:
    """Resources without a worker: jobs are enqueued and stay."""
    async with open_resources(settings, worker=False) as opened:
        yield opened


@pytest.fixture
async def working(settings: Settings) -> AsyncIterator[Resources]:
    """Resources with a worker in this process."""
    async with open_resources(settings, worker=True) as opened:
        yield opened
