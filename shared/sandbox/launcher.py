"""Started as a program: `python -I -S launcher.py FD`, with a JSON object to read on FD. Standard library only.

Enters the control groups, sets limits, forks, isolates the child and executes the command in it. The parent stays behind as the
reaper of everything that descends from the command, and ends it all when the command ends or when the service dies, which it
sees by `alive` (a pipe) reaching its end. The exit code is the command's, or 128 plus the signal that ended it.

The object: argv, cwd, environment, join (files to write 0 to), file_bytes, data_bytes or null, processes or null, alive (FD),
landlock (null or {read: [paths], write: [paths], port: int or null}), seccomp (base64 or null).
"""

from __future__ import annotations

import base64
import ctypes
import json
import os
import resource
import select
import signal
import struct
import sys
import time
from typing import Any, NoReturn

_PR_SET_NO_NEW_PRIVS, _PR_SET_SECCOMP, _PR_CAPBSET_DROP, _PR_SET_CHILD_SUBREAPER, _PR_CAP_AMBIENT = 38, 22, 24, 36, 47
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_CAPSET = {"x86_64": 126, "aarch64": 91}
_UNSHARE = {"x86_64": 272, "aarch64": 97}
_MOUNT_SETATTR = 442
_NEWNS, _NEWIPC = 0x20000, 0x08000000
_MS_BIND, _MS_REC, _MS_PRIVATE = 4096, 16384, 1 << 18
_RDONLY = 1
_AT_RECURSIVE = 0x8000
_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR, _TRUNCATE, _IOCTL_DEV = 1, 2, 4, 8, 1 << 14, 1 << 15
_FILE_RIGHTS = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE
_DEVICES = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")

_libc = ctypes.CDLL(None, use_errno=True)
_libc.syscall.restype = ctypes.c_long


def _call(number: int, *arguments: Any) -> int:
    result = int(_libc.syscall(ctypes.c_long(number), *arguments))
    if result < 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def prctl(*arguments: int) -> int:
    values = [ctypes.c_ulong(value) for value in (*arguments, 0, 0, 0, 0)[1:5]]
    return int(_libc.prctl(ctypes.c_int(arguments[0]), *values))


def landlock_abi() -> int:
    """The kernel's Landlock version, 0 without."""
    try:
        return _call(_CREATE_RULESET, None, ctypes.c_size_t(0), ctypes.c_uint32(1))
    except OSError:
        return 0


def restrict(read: list[str], write: list[str], port: int | None) -> None:
    """Confine this thread and all its descendants for good: files, TCP (ABI 4), abstract sockets and signals (ABI 6)."""
    abi = landlock_abi()
    if abi < 1:
        raise OSError("this kernel has no Landlock")
    rights = (1 << 13) - 1 | (1 << 13 if abi >= 2 else 0) | (_TRUNCATE if abi >= 3 else 0) | (_IOCTL_DEV if abi >= 5 else 0)
    network = 3 if abi >= 4 else 0
    scope = 3 if abi >= 6 else 0
    attributes = struct.pack("=QQQ", rights, network, scope)[: 8 if abi < 4 else 16 if abi < 6 else 24]
    ruleset = _call(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), ctypes.c_uint32(0))
    reading = _EXECUTE | _READ_FILE | _READ_DIR
    for path in read:
        _allow(ruleset, path, reading & rights)
    for path in _DEVICES:
        _allow(ruleset, path, (_READ_FILE | _WRITE_FILE | _TRUNCATE) & rights)
    for path in write:
        _allow(ruleset, path, rights & ~_IOCTL_DEV & ~(1 << 6) & ~(1 << 11))
    if port is not None and network:
        _call(_ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(2), struct.pack("=QQ", 2, port), ctypes.c_uint32(0))
    _call(_RESTRICT_SELF, ctypes.c_int(ruleset), ctypes.c_uint32(0))
    os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    try:
        descriptor = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    if not os.path.isdir(path):
        rights &= _FILE_RIGHTS | _IOCTL_DEV
    try:
        _call(_ADD_RULE, ctypes.c_int(ruleset), ctypes.c_int(1), struct.pack("=Qi", rights, descriptor), ctypes.c_uint32(0))
    finally:
        os.close(descriptor)


def freeze_mounts(writable: list[str]) -> bool:
    """Where we may: everything but `writable` becomes a read-only mount, since Landlock does not govern chmod, chown and utime."""
    machine = os.uname().machine
    try:
        _call(_UNSHARE[machine], ctypes.c_ulong(_NEWNS | _NEWIPC))
        _mount(None, b"/", _MS_REC | _MS_PRIVATE)
        for path in sorted(writable, key=len):
            _mount(os.fsencode(path), os.fsencode(path), _MS_BIND | _MS_REC)
        _set_mount(b"/", struct.pack("=QQQQ", _RDONLY, 0, 0, 0))
        for path in writable:
            _set_mount(os.fsencode(path), struct.pack("=QQQQ", 0, _RDONLY, 0, 0))
    except (OSError, KeyError):
        return False
    return True


def _mount(source: bytes | None, target: bytes, flags: int) -> None:
    if _libc.mount(source, target, None, ctypes.c_ulong(flags), None):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _set_mount(path: bytes, attributes: bytes) -> None:
    _call(_MOUNT_SETATTR, ctypes.c_int(-100), path, ctypes.c_uint(_AT_RECURSIVE), attributes, ctypes.c_size_t(len(attributes)))


def drop_capabilities() -> None:
    for number in range(64):
        if prctl(_PR_CAPBSET_DROP, number):
            break
    prctl(_PR_CAP_AMBIENT, 4)
    header = struct.pack("=Ii", 0x20080522, 0)
    _call(_CAPSET[os.uname().machine], header, bytes(24))


def filter_calls(program: bytes) -> None:
    code = ctypes.create_string_buffer(program)
    header = struct.pack("@HP", len(program) // 8, ctypes.addressof(code))
    buffer = ctypes.create_string_buffer(header)
    if prctl(_PR_SET_SECCOMP, 2, ctypes.addressof(buffer)):
        raise OSError(ctypes.get_errno(), "the system call filter was refused")


def _limit(name: int, value: int) -> None:
    _, hard = resource.getrlimit(name)
    value = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(name, (value, value))


def become(spec: dict[str, Any]) -> NoReturn:
    """The child: isolate, then execute. Any failure before the command runs is exit code 125."""
    try:
        os.setsid()
        os.closerange(3, 1 << 16)
        _limit(resource.RLIMIT_CORE, 0)
        _limit(resource.RLIMIT_FSIZE, spec["file_bytes"])
        if spec["data_bytes"] is not None:
            _limit(resource.RLIMIT_DATA, spec["data_bytes"])
        if spec["processes"] is not None:
            _limit(resource.RLIMIT_NPROC, spec["processes"])
        landlock = spec["landlock"]
        if landlock is not None:
            freeze_mounts(landlock["write"])
            if prctl(_PR_SET_NO_NEW_PRIVS, 1):
                raise OSError("no_new_privs was refused")
            drop_capabilities()
            restrict(landlock["read"], landlock["write"], landlock["port"])
        os.chdir(spec["cwd"])
        for number in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(number, signal.SIG_DFL)
        filter_program = base64.b64decode(spec["seccomp"] or "")
        if filter_program:
            filter_calls(filter_program)
    except OSError as error:
        os.write(2, f"sandbox: {error}\n".encode())
        os._exit(125)
    try:
        os.execvpe(spec["argv"][0], spec["argv"], spec["environment"])
    except OSError as error:
        os.write(2, f"sandbox: {spec['argv'][0]}: {error.strerror}\n".encode("utf-8", "replace"))
        os._exit(126 if isinstance(error, PermissionError) else 127)


def descendants() -> set[int]:
    parents = {}
    for name in os.listdir("/proc"):
        if name.isdigit():
            try:
                with open(f"/proc/{name}/stat", "rb") as file:
                    parents[int(name)] = int(file.read().rpartition(b")")[2].split()[1])
            except OSError:
                continue
    inside = {os.getpid()}
    grew = True
    while grew:
        found = {pid for pid, parent in parents.items() if parent in inside and pid not in inside}
        inside |= found
        grew = bool(found)
    return inside - {os.getpid()}


def reap() -> dict[int, int]:
    ended: dict[int, int] = {}
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return ended
        if pid == 0:
            return ended
        ended[pid] = status


def end_all() -> None:
    """Stop everything first, so that nothing forks while the rest is being killed; then kill until nothing descends from us."""
    while found := descendants():
        for number in (signal.SIGSTOP, signal.SIGKILL):
            for pid in found:
                try:
                    os.kill(pid, number)
                except OSError:
                    continue
        reap()
        time.sleep(0.002)


def _supervise(child: int, alive: int, wakeup: int) -> int:
    status = None
    poll = select.poll()
    poll.register(alive, 0)
    poll.register(wakeup, select.POLLIN)
    while status is None:
        events = dict(poll.poll())
        if wakeup in events:
            os.read(wakeup, 4096)
            status = reap().get(child)
        if alive in events:
            break
    end_all()
    return 137 if status is None else os.waitstatus_to_exitcode(status)


def main() -> None:
    with open(int(sys.argv[1]), "rb") as file:
        spec = json.loads(file.read())
    for path in spec["join"]:
        with open(path, "wb", buffering=0) as group:
            group.write(b"0")
    prctl(_PR_SET_CHILD_SUBREAPER, 1)
    reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(writing)
    child = os.fork()
    if child == 0:
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        become(spec)
    code = _supervise(child, spec["alive"], reading)
    os._exit(code if code >= 0 else 128 - code)


if __name__ == "__main__":
    main()
