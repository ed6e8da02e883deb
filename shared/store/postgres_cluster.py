"""One PostgreSQL cluster: made, started, watched and stopped with the plain programs."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from urllib.parse import quote

import psycopg

from shared.errors import UnavailableError
from shared.store.postgres_account import Account, nobody_account
from shared.store.postgres_binaries import find_binaries
from shared.store.postgres_places import Places, orphans

ROLE = "persevere"
_START_TIMEOUT_S = 60.0
_STOP_TIMEOUT_S = 30.0
_LOG_LIMIT = 5_000_000
_PASSWORD_COPY = "persevere.password"
_CONFIGURATION = """
listen_addresses = ''
unix_socket_permissions = 0600
max_connections = 100
shared_buffers = 32MB
work_mem = 4MB
maintenance_work_mem = 16MB
max_wal_size = 256MB
min_wal_size = 32MB
wal_level = minimal
max_wal_senders = 0
max_worker_processes = 4
max_parallel_workers_per_gather = 0
jit = off
huge_pages = off
timezone = 'UTC'
log_timezone = 'UTC'
lc_messages = 'C'
log_min_messages = warning
password_encryption = scram-sha-256
include_if_exists 'sockets.conf'
include_if_exists 'local.conf'
"""
_ACCESS = f"""# Only the application's role, and only with its password. The superuser cannot log in at all.
local all {ROLE} scram-sha-256
"""


def make(places: Places) -> None:
    """Make the cluster with its role and database. Killed at any moment it leaves nothing that the next call does not replace."""
    for left in places.workshop.glob(f".new-{places.digest}-*"):
        shutil.rmtree(left, ignore_errors=True)
    binaries = find_binaries(None, places.account, places.shared)
    maker = nobody_account() if places.account else None
    bench = places.workshop / f".new-{places.digest}-{secrets.token_hex(4)}"
    bench.mkdir(mode=0o700)
    try:
        cluster = _initialise(binaries, bench, maker)
        with (cluster / "postgresql.conf").open("a") as file:
            file.write(_CONFIGURATION + ("io_method = sync\n" if int(_version(cluster)) >= 18 else ""))
        (cluster / "pg_hba.conf").write_text(_ACCESS)
        password = secrets.token_urlsafe(32)
        role = f"CREATE ROLE {ROLE} LOGIN NOSUPERUSER CREATEDB NOCREATEROLE NOREPLICATION PASSWORD '{password}'"
        _single_user(binaries, cluster, maker, [role, f"CREATE DATABASE {ROLE} OWNER {ROLE}"])
        (cluster / _PASSWORD_COPY).touch(mode=0o600)
        (cluster / _PASSWORD_COPY).write_text(password)
        _own(cluster, places.account)
        _write_password(places, password)
        _move(cluster, places)
    finally:
        shutil.rmtree(bench, ignore_errors=True)


def _initialise(binaries: Path, bench: Path, maker: Account | None) -> Path:
    """`initdb` with a superuser whose password nobody keeps."""
    secret, cluster = bench / "password", bench / "cluster"
    secret.touch(mode=0o600)
    secret.write_text(secrets.token_urlsafe(32))
    _own(bench, maker)
    options = ["--auth=scram-sha-256", f"--pwfile={secret}", "--username=postgres", "--encoding=UTF8", "--no-locale", "--no-instructions"]
    _run([binaries / "initdb", *options, "--pgdata", cluster], maker, bench)
    secret.unlink()
    return cluster


def _move(cluster: Path, places: Places) -> None:
    """Into its place in one step, over a copy when it was made on another file system."""
    if cluster.stat().st_dev != places.cluster.parent.stat().st_dev:
        copy = places.cluster.parent / ".new-copy"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(cluster, copy, symlinks=True)
        _own(copy, places.account)
        cluster = copy
    cluster.rename(places.cluster)


def _version(cluster: Path) -> str:
    return (cluster / "PG_VERSION").read_text().strip()


def _own(folder: Path, account: Account | None) -> None:
    if account is None:
        return
    for path in (folder, *folder.rglob("*")):
        os.chown(path, account.uid, account.gid, follow_symlinks=False)


def _run(command: Sequence[object], account: Account | None, folder: Path, stdin: str = "", own: bool = False) -> None:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PG")} | {"LC_ALL": "C", "HOME": str(folder)}
    done = subprocess.run(
        [str(part) for part in command],
        input=stdin,
        capture_output=True,
        text=True,
        timeout=120,
        cwd=folder,
        env=environment,
        start_new_session=own,
        **(account.run_as if account else {}),
    )
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines()[-1:] or [f"exit code {done.returncode}"]
        raise UnavailableError(f"The embedded database cannot be set up: {said[0]}", "Set DATABASE_URL to use another PostgreSQL.")


def _single_user(binaries: Path, cluster: Path, account: Account | None, statements: Sequence[str]) -> None:
    """Run statements, one a line, without a server: nothing can connect meanwhile."""
    _run([binaries / "postgres", "--single", "-j", "-D", cluster, "postgres"], account, cluster, ";\n\n".join(statements) + ";\n\n")


def _write_password(places: Places, password: str) -> None:
    unfinished = places.own / "password.new"
    unfinished.unlink(missing_ok=True)
    descriptor = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(password)
        file.flush()
        os.fsync(file.fileno())
    unfinished.rename(places.password)


def restore_password(places: Places) -> None:
    """Write a lost password file again, from the copy that is in the cluster's own folder."""
    if not places.password.exists():
        _write_password(places, (places.cluster / _PASSWORD_COPY).read_text())


def address(places: Places) -> str:
    """The URL of the application's role; contains the password."""
    password = quote(places.password.read_text().strip(), safe="")
    return f"postgresql://{ROLE}:{password}@/{ROLE}?host={quote(str(places.sockets), safe='')}"


def answers(places: Places, timeout_s: int = 5) -> bool:
    """Whether the server accepts a connection. Anything that looks alive but does not answer is not alive."""
    try:
        psycopg.connect(address(places), connect_timeout=timeout_s).close()
    except psycopg.OperationalError:
        return False
    return True


def server_pid(places: Places) -> int | None:
    """The process that runs this cluster; None for a stale file, a zombie or another program with the number."""
    try:
        pid = int((places.cluster / "postmaster.pid").read_text().split("\n", 1)[0])
    except (OSError, ValueError):
        return None
    return pid if pid > 0 and _is_server(pid, places.cluster) else None


def _is_server(pid: int, cluster: Path) -> bool:
    if Path("/proc/self").exists():
        try:
            return os.fsencode(cluster) in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
    said = subprocess.run(["ps", "-ww", "-o", "stat=,command=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout.strip()
    return bool(said) and not said.startswith("Z") and str(cluster) in said


def start(places: Places) -> None:
    """Start the server in a session of its own and wait until it answers."""
    binaries = find_binaries(_version(places.cluster), places.account, places.shared)
    if places.account and places.cluster.stat().st_uid != places.account.uid:
        _own(places.cluster, places.account)
    (places.cluster / "postmaster.pid").unlink(missing_ok=True)
    for path in places.sockets.glob(".s.PGSQL.*"):
        path.unlink(missing_ok=True)
    _configure(places)
    deadline = time.monotonic() + _START_TIMEOUT_S
    while True:
        detached = '"$@" >>"$0" 2>&1 </dev/null &'
        _run(["/bin/sh", "-c", detached, places.log, binaries / "postgres", "-D", places.cluster], places.account, places.cluster, own=True)
        if _wait_until_answering(places, deadline):
            return
        said = _log_tail(places)
        if time.monotonic() > deadline or "is still in use" not in said:
            raise UnavailableError(
                f"The embedded database does not start: {said or 'it did not answer in time'}", f"Read {places.log}, or set DATABASE_URL."
            )
        time.sleep(0.2)


def _configure(places: Places) -> None:
    """The socket's folder may change with the environment, the log must not grow for ever."""
    sockets = str(places.sockets).replace("'", "''")
    (places.cluster / "sockets.conf").write_text(f"unix_socket_directories = '{sockets}'\n")
    _own(places.cluster / "sockets.conf", places.account)
    if places.log.exists() and places.log.stat().st_size > _LOG_LIMIT:
        places.log.unlink()


def comes_up(places: Places) -> bool:
    """Wait for a server that is there but does not answer yet (starting, recovering, stopping): whether it does in the end."""
    return _wait_until_answering(places, time.monotonic() + _START_TIMEOUT_S, grace_s=0)


def _wait_until_answering(places: Places, deadline: float, grace_s: float = 2.0) -> bool:
    """True when it answers; False when it ended or the time is over. It has `grace_s` to show up as a process."""
    grace = time.monotonic() + grace_s
    while time.monotonic() < deadline:
        if answers(places):
            return True
        if time.monotonic() > grace and server_pid(places) is None:
            return False
        time.sleep(0.01)
    return False


def _log_tail(places: Places) -> str:
    try:
        lines = places.log.read_text(errors="replace").strip().splitlines()
    except OSError:
        return ""
    return next((line for line in reversed(lines) if "FATAL" in line or "PANIC" in line), lines[-1] if lines else "")


def remove_orphans(places: Places) -> None:
    """Stop and remove the servers of temporary data folders that are gone."""
    for cluster in orphans(places):
        gone = replace(places, cluster=cluster)
        stop(gone)
        shutil.rmtree(cluster.parent, ignore_errors=True)


def stop(places: Places) -> None:
    """Fast shutdown; returns when the process is gone, after 30 seconds at the latest."""
    pid = server_pid(places)
    if pid is None:
        return
    deadline = time.monotonic() + _STOP_TIMEOUT_S
    os.kill(pid, signal.SIGINT)
    while server_pid(places) == pid:
        if time.monotonic() > deadline:
            os.kill(pid, signal.SIGQUIT)
            return
        time.sleep(0.01)
