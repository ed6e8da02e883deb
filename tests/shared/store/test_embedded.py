"""The embedded server: one for all processes of a user, whatever is killed, wherever the data folder is."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import psycopg
import pytest

from shared.store import postgres_cluster
from shared.store.embedded import open_embedded_postgres
from shared.store.postgres_places import Places, find_places

HOLDER = """
import asyncio, sys
from pathlib import Path
from shared.store.embedded import open_embedded_postgres
async def main():
    async with open_embedded_postgres(Path(sys.argv[1])) as url:
        print(url, flush=True)
        await asyncio.to_thread(sys.stdin.read)
asyncio.run(main())
"""


@pytest.fixture
def data_dir(tmp_path: Path) -> Iterator[Path]:
    folder = tmp_path / 'a data folder\'s "$HOME" % é日本 ' / ("long" * 20)
    yield folder
    note = folder / "postgres" / "location"
    if note.exists():
        shutil.rmtree(note.read_text().strip(), ignore_errors=True)


@pytest.fixture
def places(data_dir: Path) -> Places:
    return find_places(data_dir)


def _query(url: str, statement: str) -> object:
    with psycopg.connect(url) as connection:
        row = connection.execute(statement.encode()).fetchone()
        return row[0] if row else None


def _holder(data_dir: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", HOLDER, str(data_dir)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3])


def _url(holder: subprocess.Popen[str]) -> str:
    assert holder.stdout is not None
    return holder.stdout.readline().strip()


def _end(holder: subprocess.Popen[str]) -> None:
    with holder:
        holder.communicate(timeout=30)


async def _gone(places: Places) -> bool:
    return await asyncio.to_thread(postgres_cluster.server_pid, places) is None


async def test_starts_keeps_its_data_and_stops_with_its_last_user(data_dir: Path, places: Places) -> None:
    async with open_embedded_postgres(data_dir) as url:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        async with open_embedded_postgres(data_dir) as same:
            assert same == url
        assert _query(url, "SELECT answer FROM kept") == 42
    assert await _gone(places)
    async with open_embedded_postgres(data_dir) as url:
        assert _query(url, "SELECT answer FROM kept") == 42
    assert await _gone(places)


async def test_private_and_not_superuser(data_dir: Path, places: Places) -> None:
    async with open_embedded_postgres(data_dir) as url:
        assert _query(url, "SELECT rolsuper OR rolcreaterole OR rolreplication FROM pg_roles WHERE rolname = current_user") is False
        assert _query(url, "SHOW listen_addresses") == ""
        assert _query(url, "SHOW fsync") == "on"
        assert places.password.stat().st_mode & 0o777 == 0o600
        assert places.sockets.stat().st_mode & 0o777 == 0o700
        assert (places.sockets / ".s.PGSQL.5432").stat().st_mode & 0o777 == 0o600
        host = f"host={places.sockets} dbname=persevere"
        for refused in (f"{host} user=persevere", f"{host} user=persevere password=wrong", f"{host} user=postgres password=postgres"):
            with pytest.raises(psycopg.OperationalError):
                psycopg.connect(refused)
        with psycopg.connect(url) as connection, pytest.raises(psycopg.errors.InsufficientPrivilege):
            connection.execute("COPY (SELECT 1) TO PROGRAM 'true'")


async def test_a_killed_server_is_started_again_while_in_use(data_dir: Path, places: Places) -> None:
    async with open_embedded_postgres(data_dir) as url:
        pid = postgres_cluster.server_pid(places)
        assert pid is not None
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute("CREATE TABLE kept AS SELECT 42 AS answer")
        os.kill(pid, signal.SIGKILL)
        async with asyncio.timeout(30):
            while not await asyncio.to_thread(postgres_cluster.answers, places):
                await asyncio.sleep(0.05)
        assert postgres_cluster.server_pid(places) != pid
        assert _query(url, "SELECT answer FROM kept") == 42


async def test_a_server_survives_its_client_and_a_stale_pid_file_is_no_server(data_dir: Path, places: Places) -> None:
    holder = _holder(data_dir)
    url = await asyncio.to_thread(_url, holder)
    holder.kill()
    await asyncio.to_thread(_end, holder)
    assert _query(url, "SELECT 1") == 1
    pid = postgres_cluster.server_pid(places)
    assert pid is not None
    os.kill(pid, signal.SIGKILL)
    file = places.cluster / "postmaster.pid"
    file.write_text(file.read_text().replace(str(pid), str(os.getpid()), 1))
    async with open_embedded_postgres(data_dir) as url:
        assert _query(url, "SELECT 1") == 1
    assert await _gone(places)


async def test_processes_that_start_at_once_share_one_server(data_dir: Path, places: Places) -> None:
    holders = [_holder(data_dir) for _ in range(3)]
    urls = await asyncio.gather(*(asyncio.to_thread(_url, holder) for holder in holders))
    assert len(set(urls)) == 1
    await asyncio.to_thread(_end, holders[0])
    await asyncio.to_thread(_end, holders[1])
    assert _query(urls[0], "SELECT 1") == 1
    await asyncio.to_thread(_end, holders[2])
    assert await _gone(places)


@pytest.mark.parametrize("after_s", [0.1, 0.4, 0.7, 1.0])
async def test_a_kill_while_the_cluster_is_made_is_recovered(data_dir: Path, places: Places, after_s: float) -> None:
    holder = _holder(data_dir)
    await asyncio.sleep(after_s)
    holder.kill()
    await asyncio.to_thread(_end, holder)
    async with open_embedded_postgres(data_dir) as url:
        assert _query(url, "SELECT 1") == 1
    assert await _gone(places)


async def test_a_lost_password_file_is_written_again(data_dir: Path, places: Places) -> None:
    async with open_embedded_postgres(data_dir) as url:
        pass
    places.password.unlink()
    async with open_embedded_postgres(data_dir) as new:
        assert new == url
        assert _query(new, "SELECT 1") == 1


async def test_cancelled_while_starting_lets_go(data_dir: Path, places: Places) -> None:
    async def hold() -> AsyncIterator[None]:
        async with open_embedded_postgres(data_dir):
            yield

    starting = asyncio.ensure_future(anext(hold()))
    await asyncio.sleep(0.3)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert await _gone(places)


@pytest.mark.skipif(os.geteuid() != 0, reason="run as root: the server then runs under an unprivileged user")
async def test_as_root_other_folders_keep_their_permissions(data_dir: Path) -> None:
    data_dir.mkdir(parents=True)
    data_dir.chmod(0o700)
    async with open_embedded_postgres(data_dir) as url:
        places = find_places(data_dir)
        pid = postgres_cluster.server_pid(places)
        assert Path(f"/proc/{pid}").stat().st_uid not in (0, 65534)
        assert not places.cluster.is_relative_to(data_dir)
        assert _query(url, "SELECT 1") == 1
    assert data_dir.stat().st_mode & 0o777 == 0o700
    assert data_dir.stat().st_uid == 0


@pytest.mark.skipif(os.geteuid() != 0, reason="run as root: the cluster may then be outside its data folder")
async def test_as_root_the_cluster_of_a_removed_temporary_folder_is_removed(data_dir: Path, tmp_path: Path) -> None:
    holder = _holder(tmp_path / "gone")
    url = await asyncio.to_thread(_url, holder)
    holder.kill()
    await asyncio.to_thread(_end, holder)
    gone = find_places(tmp_path / "gone")
    shutil.rmtree(tmp_path / "gone")
    assert _query(url, "SELECT 1") == 1
    async with open_embedded_postgres(data_dir):
        assert await _gone(gone)
        assert not gone.cluster.parent.exists()
