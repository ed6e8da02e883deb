"""Databases for lives that are ended: made from several threads, dropped at the end."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.agent_orchestrator.conftest import repository, resources, settings
from tests.chaos.sweep import Sweep

__all__ = ["repository", "resources", "settings"]


@pytest.fixture
def make_url(make_postgres_url: Callable[[], str]) -> Callable[[], str]:
    """From several threads."""
    lock = threading.Lock()

    def make() -> str:
        with lock:
            return make_postgres_url()

    return make


@pytest.fixture
def sweep(make_url: Callable[[], str], tmp_path: Path) -> Sweep:
    return Sweep(make_url, tmp_path)


@pytest.fixture
def model_sweep(make_url: Callable[[], str], tmp_path: Path) -> Sweep:
    """Of the path of a model."""
    return Sweep(make_url, tmp_path, by_model=True)
