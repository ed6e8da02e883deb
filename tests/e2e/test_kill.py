"""kill -9 at a random moment, then `persevere resume`: exactly one branch and one pull request."""

from __future__ import annotations

import contextlib
import os
import random
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

from tests.e2e.conftest import MakeRepository, task_branches
from tests.e2e.conftest import Shell as MakeShell

if TYPE_CHECKING:
    from tests.e2e.conftest import Shell

RENAME = "rename load_conf to load_config"
SEED = int(os.environ.get("PERSEVERE_TEST_SEED", "0")) or random.SystemRandom().randrange(1 << 30)


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    """A data folder whose database nobody else keeps open: it has to get up again too."""
    home = tmp_path_factory.mktemp("home")
    yield MakeShell(home, home / "data")
    shutil.rmtree(home, ignore_errors=True)


def kill_chat(shell: Shell, repository: str, moment: float) -> None:
    """End `persevere chat` by SIGKILL `moment` seconds after its task was made (or when it has ended by itself)."""
    process = shell.start("chat", RENAME, "--repo", repository, "--yes", "--json")
    assert process.stdout is not None
    process.stdout.readline()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(timeout=moment)
    process.send_signal(signal.SIGKILL)
    process.communicate()


def goes_on(shell: Shell, make_repository: MakeRepository, moment: float) -> None:
    repository = make_repository(name=f"killed after {moment:.9f}")
    kill_chat(shell, str(repository), moment)
    started = time.monotonic()
    resumed = shell.run("resume", "--yes", "--json", timeout=90)
    tasks = [task for task in shell.run("tasks", "list", "--json").lines if task["repo"] == str(repository)]
    told = f"seed {SEED}, moment {moment}, {time.monotonic() - started:.1f} s: {resumed}"
    assert [task["status"] for task in tasks] == ["completed"], told
    assert tasks[0]["pr_url"], told
    assert task_branches(repository) == [tasks[0]["branch"]], told
    assert resumed.code == 0, told


@pytest.mark.parametrize("number", range(2))
def test_a_kill_loses_and_repeats_nothing(number: int, shell: Shell, make_repository: MakeRepository) -> None:
    goes_on(shell, make_repository, random.Random(SEED + number).uniform(0.0, 3.0))


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_twenty_kills(shell: Shell, make_repository: MakeRepository) -> None:
    for number in range(20):
        goes_on(shell, make_repository, random.Random(SEED + 100 + number).uniform(0.0, 3.0))


def test_ctrl_c_is_130_and_says_how_to_go_on(shell: Shell, make_repository: MakeRepository) -> None:
    repository = make_repository()
    process = shell.start("chat", RENAME, "--repo", str(repository), "--yes", "--json")
    assert process.stdout is not None
    process.stdout.readline()
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=40)
    assert process.returncode == 130, err
    assert "persevere resume" in err
    assert "Traceback" not in err
    resumed = shell.run("resume", "--yes", "--json")
    assert resumed.result["status"] == "completed"
    assert len(task_branches(repository)) == 1
