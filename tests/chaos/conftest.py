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
def sweep(make_postgres_url: Callable[[], str], tmp_path: Path) -> Sweep:
    lock = threading.Lock()

    def make_url() -> str:
        with lock:
            return make_postgres_url()

    return Sweep(make_url, tmp_path)
