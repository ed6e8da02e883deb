"""kill -9 of a server between its work and its answer: the client asks again, and the work is there once."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import psycopg
import pytest

from tests.e2e.conftest import MakeRepository
from tests.e2e.conftest import Shell as MakeShell

if TYPE_CHECKING:
    from tests.e2e.conftest import Shell

TOKEN = "a-token-for-tests-that-is-long-enough-to-be-one"


@pytest.fixture
def here(tmp_path: Path, postgres_url: str) -> Shell:
    """A server's surroundings on a database that outlives it."""
    return MakeShell(tmp_path, tmp_path / "data", {"DATABASE_URL": postgres_url, "PERSEVERE_TOKEN": TOKEN})


@contextmanager
def serving(shell: Shell) -> Iterator[tuple[subprocess.Popen[str], str]]:
    process = shell.start("serve", "--no-worker", "--port", "0")
    assert process.stdout is not None
    try:
        first = process.stdout.readline()
        assert "http://" in first, process.communicate(timeout=10)
        yield process, first.split()[-1]
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()


def post(url: str, path: str, body: dict[str, object]) -> httpx.Response:
    headers = {"Authorization": f"Bearer {TOKEN}", "Idempotency-Key": "the-same"}
    return httpx.post(url + path, json=body, headers=headers, timeout=30, trust_env=False)


def count(connection: psycopg.Connection[tuple[int]], table: str) -> int:
    row = connection.execute(f"SELECT count(*) FROM {table}".encode()).fetchone()
    assert row is not None
    return row[0]


def kill_at(shell: Shell, path: str, body: dict[str, object], postgres_url: str, *, is_committed: bool) -> None:
    """Send a request; SIGKILL the server when its work is done and the answer is not stored, or when both have just been committed."""
    with serving(shell) as (process, url), psycopg.connect(postgres_url, autocommit=True) as looking:
        asking = threading.Thread(target=_try_post, args=(url, path, body))
        with psycopg.connect(postgres_url) as holding:
            if not is_committed:
                holding.execute("LOCK TABLE idempotency_keys IN EXCLUSIVE MODE")
            asking.start()
            deadline = time.monotonic() + 20
            waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'idempotency_keys'::regclass"
            done = "SELECT count(*) FROM idempotency_keys"
            while looking.execute((done if is_committed else waiting).encode()).fetchone() == (0,):
                assert time.monotonic() < deadline
            process.send_signal(signal.SIGKILL)
            process.wait()
            asking.join()


def _try_post(url: str, path: str, body: dict[str, object]) -> None:
    with contextlib.suppress(httpx.TransportError):
        post(url, path, body)


@pytest.mark.parametrize("is_committed", [False, True])
@pytest.mark.parametrize("path", ["/tasks", "/chat"])
def test_a_kill_between_work_and_answer(
    path: str, is_committed: bool, here: Shell, postgres_url: str, make_repository: MakeRepository
) -> None:
    repo, said = str(make_repository()), "rename load_conf to load_config"
    body: dict[str, object] = {"prompt": said, "repo": repo} if path == "/tasks" else {"message": said, "context": {"repo": repo}}
    kill_at(here, path, body, postgres_url, is_committed=is_committed)
    with psycopg.connect(postgres_url, autocommit=True) as looking:
        assert count(looking, "tasks") == int(is_committed)
        with serving(here) as (_, url):
            first, second = post(url, path, body), post(url, path, body)
        assert first.is_success, first.text
        assert first.json() == second.json()
        assert (first.headers.get("idempotency-replayed") == "true") is is_committed
        assert (count(looking, "tasks"), count(looking, "procrastinate_jobs")) == (1, 1)
        assert count(looking, "messages") == (2 if path == "/chat" else 0)
