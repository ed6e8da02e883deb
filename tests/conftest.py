"""One embedded PostgreSQL for the whole run, and a fresh migrated database for every test that asks."""

from __future__ import annotations

import asyncio
import os
import secrets
import shutil
import signal
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

import psycopg
import pytest

from shared.store.database import Database, open_database
from shared.store.embedded import open_embedded_postgres
from shared.store.migrate import upgrade
from tests.docker_engine import NoEngineError, RunningEngine, open_engine

_TEMPLATE = "persevere"
_FAST = "fsync = off\nsynchronous_commit = off\nfull_page_writes = off\nautovacuum = off\n"


@contextmanager
def _on_a_loop_of_its_own(data_dir: Path) -> Iterator[str]:
    """Keep the server open on another thread: it outlives the event loop of each test."""
    ready: list[str | BaseException] = []
    opened, closing = threading.Event(), threading.Event()

    async def hold() -> None:
        async with open_embedded_postgres(data_dir) as url:
            await upgrade(url)
            ready.append(url)
            opened.set()
            await asyncio.to_thread(closing.wait)

    def run() -> None:
        try:
            asyncio.run(hold())
        except BaseException as error:
            ready.append(error)
            opened.set()

    thread = threading.Thread(target=run)
    thread.start()
    opened.wait()
    try:
        if isinstance(ready[0], BaseException):
            raise ready[0]
        yield ready[0]
    finally:
        closing.set()
        thread.join()


def cluster_home(data_dir: Path) -> Path:
    """The folder that holds the embedded cluster of a data folder; elsewhere when we are root."""
    note = data_dir / "postgres" / "location"
    return Path(note.read_text().strip()) if note.exists() else data_dir / "postgres"


@pytest.fixture(scope="session")
def postgres_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a migrated database that nobody may connect to while tests run: it is their template."""
    data_dir = tmp_path_factory.mktemp("postgres")
    with _on_a_loop_of_its_own(data_dir) as url:
        home = cluster_home(data_dir)
        (home / "cluster" / "local.conf").write_text(_FAST)
        (home / "cluster" / "local.conf").chmod(0o644)
        os.kill(int((home / "cluster" / "postmaster.pid").read_text().split("\n", 1)[0]), signal.SIGHUP)
        yield url
    shutil.rmtree(home, ignore_errors=True)


@pytest.fixture
def make_postgres_url(postgres_server: str) -> Iterator[Callable[[], str]]:
    """Makes fresh migrated databases; they are dropped after the test."""
    made: list[str] = []
    maintenance = _with_database(postgres_server, "template1")

    def make() -> str:
        name = f"test_{secrets.token_hex(6)}"
        with psycopg.connect(maintenance, autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name} TEMPLATE {_TEMPLATE}".encode())
        made.append(name)
        return _with_database(postgres_server, name)

    yield make
    with psycopg.connect(maintenance, autocommit=True) as connection:
        for name in made:
            connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())


@pytest.fixture
def postgres_url(make_postgres_url: Callable[[], str]) -> str:
    """The URL of a fresh migrated database."""
    return make_postgres_url()


@pytest.fixture
async def database(postgres_url: str) -> AsyncIterator[Database]:
    """An open, migrated, empty database."""
    async with open_database(postgres_url) as opened:
        yield opened


@pytest.fixture(scope="session")
def _docker_engine() -> Iterator[RunningEngine | str]:
    """The engine, or why there is none: a session's fixture that skips would skip only the first test."""
    try:
        with open_engine() as engine:
            yield engine
    except NoEngineError as error:
        yield str(error)


@pytest.fixture
def docker_engine(_docker_engine: RunningEngine | str, monkeypatch: pytest.MonkeyPatch) -> RunningEngine:
    """A Docker engine of our own with the sandbox image, named by DOCKER_HOST."""
    if isinstance(_docker_engine, str):
        pytest.skip(_docker_engine)
    monkeypatch.setenv("DOCKER_HOST", _docker_engine.host)
    return _docker_engine


def _with_database(url: str, name: str) -> str:
    return urlunsplit(urlsplit(url)._replace(path=f"/{name}"))
