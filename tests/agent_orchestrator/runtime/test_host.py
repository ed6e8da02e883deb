"""Whether an owner is known to be dead: never a guess."""

from __future__ import annotations

import os
import subprocess
import sys

from agent_orchestrator.runtime.host import host_id, is_gone, started_at, worker_id


def test_we_are_here() -> None:
    assert not is_gone(host_id(), worker_id())


def test_a_process_that_ended_is_gone_also_when_its_id_is_used_again() -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    name = f"{process.pid}-{started_at(process.pid)}"
    assert not is_gone(host_id(), name)
    process.kill()
    process.communicate()
    assert is_gone(host_id(), name)
    assert is_gone(host_id(), f"{os.getpid()}-1")


def test_a_zombie_is_gone() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    name = f"{process.pid}-{started_at(process.pid)}"
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert is_gone(host_id(), name)
    process.wait()


def test_nothing_is_known_of_another_machine_boot_or_container() -> None:
    name, boot, space = host_id().split("/")
    for other in (f"elsewhere/{boot}/{space}", f"{name}/another boot/{space}", f"{name}/{boot}/pid:[1]", None, ""):
        assert not is_gone(other, "1-1")
    assert not is_gone(host_id(), None)
    assert not is_gone(host_id(), "strange")
