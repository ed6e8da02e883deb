"""Code inside a sandbox tries to get at the embedded database: by its sockets, its files, its processes and a statement that runs programs.

The isolated sandboxes must refuse every way. The plain process runs as the person who started it, so for it only what the server
itself promises is held: no TCP, no abstract socket, no login without the password, and no program run by the database.
Sandboxes elsewhere have neither our interpreter nor our files: `test_escapes.py` tries what there is to try from there.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.sandbox.port import Command, Sandbox, SandboxProvider, SandboxSpec
from shared.store import postgres_cluster
from shared.store.embedded import open_embedded_postgres
from shared.store.postgres_places import Places, find_places

PACKAGES = [Path(path) for path in sys.path if path.endswith("site-packages")]
"""Readable inside, so that the attacker has a real PostgreSQL client."""
ATTACK = r"""
import glob, json, os, socket, sys

known = json.load(sys.stdin)
pid = known["pid"]
got = {}

def attempt(name, action):
    try:
        got[name] = str(action())[:200]
    except BaseException as error:
        print(name, repr(error), file=sys.stderr)

def greeted(family, address):
    # SSLRequest: a PostgreSQL server answers it with one letter before it asks who we are
    with socket.socket(family) as connection:
        connection.settimeout(3)
        connection.connect(address)
        connection.sendall(b"\0\0\0\x08\x04\xd2\x16\x2f")
        return connection.recv(1) or sys.exit("closed")

def read(path):
    with open(path, "rb") as file:
        return file.read(40) or sys.exit("empty")

def listed(path):
    # an isolated sandbox may show the empty folders on the way to its workspace
    return [name for name in os.listdir(path) if name != "workspaces"] or sys.exit("empty")

def written(path):
    with open(path, "ab"):
        return "opened"

def planted(path):
    try:
        written(path + "/planted")
    except OSError as error:
        print("planted", repr(error), file=sys.stderr)

def queried(url, statement):
    import psycopg
    with psycopg.connect(url, connect_timeout=3) as connection:
        connection.execute(statement)
        row = connection.execute("SELECT current_user").fetchone()
    return row

unix = known["socket"]
folder = os.path.dirname(unix)
attempt("path", lambda: greeted(socket.AF_UNIX, unix))
attempt("path through the server's root", lambda: greeted(socket.AF_UNIX, f"/proc/{pid}/root{unix}"))
attempt("path through its working folder", lambda: greeted(socket.AF_UNIX, f"/proc/{pid}/cwd/../../{unix}"))
attempt("abstract", lambda: greeted(socket.AF_UNIX, "\0" + unix))
seen = glob.glob("/run/persevere-*/.s.*") + glob.glob("/tmp/persevere-*/.s.*")
attempt("found sockets", lambda: [greeted(socket.AF_UNIX, path) for path in seen][0])
for host in ("127.0.0.1", "localhost", "0.0.0.0"):
    attempt(f"tcp {host}", lambda: greeted(socket.AF_INET, (host, 5432)))
attempt("tcp ::1", lambda: greeted(socket.AF_INET6, ("::1", 5432)))
attempt("guess", lambda: queried(f"host={folder} user=persevere dbname=persevere password=guess", "SELECT 1"))
attempt("trust", lambda: queried(f"host={folder} user=postgres dbname=postgres", "SELECT 1"))
attempt("login", lambda: queried(known["url"], "SELECT 1"))
attempt("program", lambda: queried(known["url"], f"CREATE TABLE t (x text); COPY t FROM PROGRAM 'id; touch {known['mark']}'"))
attempt("program out", lambda: queried(known["url"], f"COPY (SELECT 1) TO PROGRAM 'touch {known['mark']}'"))
attempt("server file", lambda: queried(known["url"], "CREATE TABLE u (x text); COPY u FROM '/etc/passwd'"))
attempt("large object", lambda: queried(known["url"], "SELECT lo_import('/etc/passwd')"))
attempt("become superuser", lambda: queried(known["url"], "SET ROLE postgres"))
attempt("password", lambda: read(known["password"]))
attempt("password copy", lambda: read(known["cluster"] + "/persevere.password"))
attempt("password through the server", lambda: read(f"/proc/{pid}/cwd/persevere.password"))
attempt("access rules", lambda: written(known["cluster"] + "/pg_hba.conf"))
attempt("tables", lambda: read(known["cluster"] + "/global/pg_control"))
attempt("log", lambda: read(known["cluster"] + ".log"))
for name in ("data", "own", "cluster"):
    attempt(name + " folder", lambda: listed(known[name]))
    planted(known[name])
attempt("socket folder", lambda: listed(folder))
attempt("memory", lambda: read(f"/proc/{pid}/mem"))
attempt("variables", lambda: read(f"/proc/{pid}/environ"))
attempt("open files", lambda: listed(f"/proc/{pid}/fd"))
attempt("signal", lambda: os.kill(pid, 0))
json.dump(got, sys.stdout)
"""
SERVER_REFUSES = (
    {"abstract", "guess", "trust", "program", "program out", "server file", "large object", "become superuser"}
    | {f"tcp {host}" for host in ("127.0.0.1", "localhost", "0.0.0.0", "::1")}
)  # fmt: skip


@pytest.fixture(params=["beside the workspace", "around the workspace"])
def folders(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Path, Path]]:
    """The data folder and a workspace: as the service lays them out, the workspaces are inside the data folder."""
    data = tmp_path / "data"
    workspace = data / "workspaces" / "task_1" if request.param.startswith("around") else tmp_path / "workspace"
    workspace.mkdir(parents=True)
    yield data, workspace
    note = data / "postgres" / "location"
    if note.exists():
        shutil.rmtree(note.read_text().strip(), ignore_errors=True)


@pytest.fixture
async def server(folders: tuple[Path, Path]) -> AsyncIterator[tuple[Places, str]]:
    async with open_embedded_postgres(folders[0]) as url:
        yield find_places(folders[0]), url


@pytest.fixture
async def sandbox(provider: SandboxProvider, folders: tuple[Path, Path]) -> AsyncIterator[Sandbox]:
    opened = await provider.open(SandboxSpec(workspace=folders[1], task_id="task_1", readable=PACKAGES))
    yield opened
    await opened.aclose()


async def attack(sandbox: Sandbox, known: dict[str, Any]) -> set[str]:
    """The ways that worked."""
    argv = [os.path.realpath(sys.executable), "-c", ATTACK]
    environment = {"PYTHONPATH": os.pathsep.join(map(str, PACKAGES))}
    result = await sandbox.run(Command(argv=argv, environment=environment, stdin=json.dumps(known).encode(), timeout_s=60))
    assert result.exit_code == 0, result.stderr
    assert "No module named" not in result.stderr
    return set(json.loads(result.stdout))


@pytest.mark.parametrize("provider", ["bubblewrap", "landlock", "process"], indirect=True)
async def test_nothing_in_a_sandbox_reaches_the_database(
    provider: SandboxProvider, sandbox: Sandbox, server: tuple[Places, str], folders: tuple[Path, Path], tmp_path: Path
) -> None:
    places, url = server
    mark = Path("/tmp") / f"persevere-attack-{os.getpid()}"
    known = {
        "pid": postgres_cluster.server_pid(places),
        "socket": str(places.sockets / ".s.PGSQL.5432"),
        "url": url,
        "password": str(places.password),
        "cluster": str(places.cluster),
        "own": str(places.own),
        "data": str(folders[0]),
        "mark": str(mark),
    }
    worked = await attack(sandbox, known)
    assert not mark.exists()
    assert postgres_cluster.answers(places)
    if provider.isolated:
        assert worked == set()
        assert not any((folder / "planted").exists() for folder in (folders[0], places.own, places.cluster))
    else:
        assert worked & SERVER_REFUSES == set()
        assert {"path", "login", "password"} <= worked
