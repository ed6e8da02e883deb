"""The database dies, freezes or has no room left in the middle of a task: the task goes on when it is back, and nothing is lost."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psycopg
import pytest

from shared.store import postgres_cluster as cluster
from shared.store.postgres_places import find_places
from tests.chaos.scenario import Ordeal
from tests.chaos.sweep import Sweep

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
START_S = 60
GoesOn = Callable[[], bool]
"""Whether the process that works on the task is alive."""


def _server(ordeal: Ordeal, goes_on: GoesOn) -> int | None:
    """The postmaster of the life's embedded server, when it is up and the task has begun; None when the life is over."""
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        if not goes_on():
            return None
        pid = cluster.server_pid(find_places(ordeal.data_dir)) if (ordeal.data_dir / "postgres").exists() else None
        if pid is not None and list((ordeal.data_dir / "workspaces").glob("*")):
            return pid
        time.sleep(0.05)
    raise TimeoutError("the server did not start")


def _family(pid: int) -> list[int]:
    listed = subprocess.run(["pgrep", "-P", str(pid)], capture_output=True, text=True, check=False).stdout
    return [pid, *map(int, listed.split())]


def _killed(ordeal: Ordeal, goes_on: GoesOn) -> None:
    _signal_thrice(ordeal, goes_on, signal.SIGKILL)


def _restarted(ordeal: Ordeal, goes_on: GoesOn) -> None:
    """SIGINT is the server's fast shutdown: it ends every session at once."""
    _signal_thrice(ordeal, goes_on, signal.SIGINT)


def _signal_thrice(ordeal: Ordeal, goes_on: GoesOn, number: int) -> None:
    """At least once; the life may be over before the third time."""
    for turn in range(3):
        server = _server(ordeal, goes_on)
        assert server is not None or turn > 0
        if server is not None:
            with suppress(ProcessLookupError):
                os.kill(server, number)
            time.sleep(random.uniform(1.5, 4))


def _frozen(ordeal: Ordeal, goes_on: GoesOn) -> None:
    server = _server(ordeal, goes_on)
    assert server is not None
    family = _family(server)
    for pid in family:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(20)
    for pid in family:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("disturbance", [_killed, _restarted, _frozen])
def test_a_task_outlives_its_database(disturbance: Callable[[Ordeal, GoesOn], None], sweep: Sweep) -> None:
    story, _ = sweep.undisturbed()
    assert sweep.disturb(story, disturbance) == []


@pytest.fixture
def small_disk() -> Iterator[Callable[[Path], None]]:
    """Mounts a file system with little room where the server of a data folder keeps its files."""
    mounted: list[Path] = []

    def mount(data_dir: Path) -> None:
        places = find_places(data_dir)
        home = places.cluster.parent
        owner = f"uid={places.account.uid},gid={places.account.gid}" if places.account else f"uid={os.geteuid()}"
        options = f"size=160m,mode=700,{owner}"
        if subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", home], capture_output=True, check=False).returncode != 0:
            pytest.skip("run as root where file systems may be mounted")
        mounted.append(home)

    yield mount
    for folder in mounted:
        subprocess.run(["umount", "-l", folder], check=False)


def _full(ordeal: Ordeal, goes_on: GoesOn) -> None:
    assert _server(ordeal, goes_on) is not None
    places = find_places(ordeal.data_dir)
    filler = places.cluster.with_name("filler")
    for _ in range(10):
        with suppress(OSError), filler.open("ab", buffering=0) as file:
            while True:
                file.write(b"\0" * 4096)
        with pytest.raises(psycopg.OperationalError), psycopg.connect(cluster.address(places), connect_timeout=5) as connection:
            connection.execute("CREATE TABLE big AS SELECT * FROM generate_series(1, 1000000)")
        time.sleep(1)
    filler.unlink()


def test_a_task_outlives_a_full_disk(small_disk: Callable[[Path], None], sweep: Sweep) -> None:
    story, _ = sweep.undisturbed()
    assert sweep.disturb(story, _full, small_disk) == []
