"""Processes inside: who descends from whom, what they use, and the supervisor that stands above one command."""

from __future__ import annotations

import base64
import json
import os
import select
import signal
import sys
from typing import Any, NoReturn

from shared.sandbox import launcher, seccomp

_PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS, _PR_SET_CHILD_SUBREAPER = 4, 38, 36
_FAMILIES = (seccomp.AF_UNIX, seccomp.AF_INET, seccomp.AF_INET6, seccomp.AF_NETLINK)


def harden() -> None:
    """Become the reaper of all descendants; nobody of the same user may look into this process or trace it."""
    launcher.prctl(_PR_SET_CHILD_SUBREAPER, 1)
    launcher.prctl(_PR_SET_DUMPABLE, 0)


def scan() -> dict[int, tuple[int, int]]:
    """(parent, resident pages) of every process that can be seen."""
    found = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    fields = file.read().rpartition(b")")[2].split()
                found[int(name)] = (int(fields[1]), int(fields[21]))
            except (OSError, IndexError):
                continue
    return found


def below(root: int, seen: dict[int, tuple[int, int]]) -> set[int]:
    """The processes that descend from `root`, without it."""
    inside = {root}
    grew = True
    while grew:
        fresh = {pid for pid, (parent, _) in seen.items() if parent in inside and pid not in inside}
        inside |= fresh
        grew = bool(fresh)
    return inside - {root}


def kill(pids: set[int]) -> None:
    """Stop them all first, so that nothing forks meanwhile; then end them."""
    for number in (signal.SIGSTOP, signal.SIGKILL):
        for pid in pids:
            try:
                os.kill(pid, number)
            except OSError:
                continue


def supervise(spec: dict[str, Any], streams: tuple[int, int, int], alive: int, status: int) -> NoReturn:
    """Run one command and end whatever descends from it, at its end or when `alive` is closed. Never returns.

    What is reported on `status` cannot be forged: the command has no way to this descriptor, nor into this process.
    """
    harden()
    reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writing)
    child = os.fork()
    if child == 0:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        _begin(spec, streams)
    for stream in streams:
        os.close(stream)
    code = _wait(child, alive, reading)
    count = len(launcher.descendants())
    launcher.end_all()
    os.write(status, json.dumps({"exit": code, "processes": count}).encode())
    os._exit(0)


def _wait(child: int, alive: int, wakeup: int) -> int | None:
    poll = select.poll()
    poll.register(alive, 0)
    poll.register(wakeup, select.POLLIN)
    while True:
        events = dict(poll.poll())
        if alive in events:
            return None
        if wakeup in events:
            os.read(wakeup, 4096)
            status = launcher.reap().get(child)
            if status is not None:
                code = os.waitstatus_to_exitcode(status)
                return code if code >= 0 else 128 - code


def _begin(spec: dict[str, Any], streams: tuple[int, int, int]) -> NoReturn:
    for number, stream in enumerate(streams):
        os.dup2(stream, number)
    launcher.prctl(_PR_SET_NO_NEW_PRIVS, 1)
    program = seccomp.build_filter(_FAMILIES) if seccomp.supported() else b""
    filtered = base64.b64encode(program).decode()
    launcher.become({**spec, "seccomp": filtered, "data_bytes": None, "processes": None, "landlock": None})


def only_ours(host: list[str]) -> bool:
    """Whether every process here belongs to the sandbox: not where the host itself is seen."""
    return sys.platform == "linux" and host != identity()


def identity() -> list[str]:
    """What tells this view of processes from another: the machine's boot and the process namespace."""
    found = []
    for path in ("/proc/sys/kernel/random/boot_id",):
        try:
            with open(path) as file:
                found.append(file.read().strip())
        except OSError:
            found.append("")
    try:
        found.append(os.readlink("/proc/self/ns/pid"))
    except OSError:
        found.append("")
    return found


def take_over() -> None:
    """End every other process of this user: what an earlier runner left. Its own ancestors are spared."""
    spared = {1, os.getpid()}
    seen = scan()
    pid = os.getpid()
    while pid in seen and seen[pid][0]:
        pid = seen[pid][0]
        spared.add(pid)
    for _ in range(50):
        mine = {pid for pid in scan() if pid not in spared and _owner(pid) == os.getuid()}
        if not mine:
            return
        kill(mine)


def _owner(pid: int) -> int:
    """The real user by the status file: the folder of a process that may not be looked into belongs to root."""
    try:
        with open(f"/proc/{pid}/status", "rb") as file:
            text = file.read()
    except OSError:
        return -1
    if b"\nState:\tZ" in text:
        return -1
    return int(text.partition(b"\nUid:")[2].split()[0])
