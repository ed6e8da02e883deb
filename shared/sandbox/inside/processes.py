"""Processes inside: who descends from whom, what they use, and the supervisor that stands above one command."""

from __future__ import annotations

import base64
import json
import os
import select
import signal
import sys
import time
from typing import Any, NoReturn

from shared.sandbox import launcher, seccomp

_PR_SET_DUMPABLE, _PR_SET_NO_NEW_PRIVS, _PR_SET_CHILD_SUBREAPER = 4, 38, 36
_FAMILIES = (seccomp.AF_UNIX, seccomp.AF_INET, seccomp.AF_INET6, seccomp.AF_NETLINK)


def harden() -> None:
    """Become the reaper of all descendants; nobody of the same user may look into this process or trace it."""
    launcher.prctl(_PR_SET_CHILD_SUBREAPER, 1)
    launcher.prctl(_PR_SET_DUMPABLE, 0)


def adopts() -> bool:
    """Whether orphans among our descendants come to us, found out by having one: not every kernel does that (gVisor's did not)."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        middle = os.getpid()
        if os.fork():
            os._exit(0)
        while os.getppid() == middle:
            time.sleep(0.001)
        os.write(writing, b"%d" % os.getppid())
        os._exit(0)
    os.close(writing)
    os.waitpid(child, 0)
    with open(reading, "rb", buffering=0) as pipe:
        adopted = int(pipe.read() or 1) == os.getpid()
    if adopted:
        os.wait()
    return adopted


class Orphans:
    """Where nobody adopts them: whose they are is told by a variable of their environment, which only a hostile one takes away."""

    VARIABLE = "PERSEVERE_COMMAND"

    def __init__(self, ours_alone: bool) -> None:
        self.needed = ours_alone and not adopts()
        self._spared = set(scan()) if self.needed else set()

    def end(self, number: int, alone: bool) -> None:
        """End those of one command; those of nobody too when no other command runs."""
        mark = f"{self.VARIABLE}={number}\0".encode()
        for _ in range(100 if self.needed else 0):
            seen = scan()
            found = {pid for pid, (parent, _) in seen.items() if parent == 1 and pid not in self._spared and _owner(pid) == os.getuid()}
            if not alone:
                found = {pid for pid in found if mark in _environment(pid)}
            if not found:
                return
            kill(found | {pid for orphan in found for pid in below(orphan, seen)})


def _environment(pid: int) -> bytes:
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            return b"\0" + file.read() + b"\0"
    except OSError:
        return b""


def keep_only(files: set[int]) -> None:
    """After a fork: close what belongs to the runner and to other operations: an end closed there shall be closed. Nothing is standard."""
    null = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(null, number)
    try:
        opened = {int(name) for name in os.listdir("/proc/self/fd")}
    except OSError:
        opened = set(range(3, 4096))
    for file in opened - files - {0, 1, 2}:
        try:
            os.close(file)
        except OSError:
            continue


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
    for stream in set(streams) - {0}:
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
