"""Started as a program: `python -I -S e2b_enter.py PID UID GID CWD STATUS ARGV...`: run a command inside a stand-in sandbox.

Joins every namespace of PID. On the descriptor STATUS it writes lines: `inner N` (the command's number inside), `outer N` (here),
`failed REASON`, and at last `exited N` or `killed N`. Standard library only.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import resource
import sys

_PARENT = 0xB702
_NO_NEW_PRIVS = 38
_FLAGS = {"mnt": 0x00020000, "pid": 0x20000000, "net": 0x40000000, "ipc": 0x08000000, "uts": 0x04000000}
_NEWUSER = 0x10000000
_MOST_PROCESSES = 500
"""Of one user, so that no command inside takes this machine's; a virtual machine would have its own."""
_libc = ctypes.CDLL(None, use_errno=True)


def _join(descriptor: int, kind: int) -> None:
    if _libc.setns(descriptor, kind):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _users(pid: int) -> list[int]:
    """The user namespaces between ours and that of `pid`, the outermost first."""
    ours = os.stat("/proc/self/ns/user").st_ino
    found = [os.open(f"/proc/{pid}/ns/user", os.O_RDONLY)]
    while os.fstat(found[-1]).st_ino != ours:
        try:
            found.append(fcntl.ioctl(found[-1], _PARENT))
        except OSError:
            break
    return [descriptor for descriptor in reversed(found) if os.fstat(descriptor).st_ino != ours]


def _become(uid: int, gid: int, folder: str, argv: list[str], status: int) -> None:
    try:
        os.write(status, b"inner %d\n" % os.getpid())
        os.chdir(folder)
        os.umask(0o022)
        if os.getuid() == 0:
            resource.setrlimit(resource.RLIMIT_NPROC, (_MOST_PROCESSES, _MOST_PROCESSES))
            os.setgroups([])
            os.setgid(gid)
            os.setuid(uid)
        _libc.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0)
        os.execvp(argv[0], argv)
    except OSError as error:
        os.write(status, b"failed %d %s\n" % (error.errno or 0, (error.strerror or "").encode()))
    os._exit(127)


def main() -> None:
    pid, uid, gid, folder, status, argv = int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], int(sys.argv[5]), sys.argv[6:]
    os.set_inheritable(status, False)
    null = os.open(os.devnull, os.O_RDWR)
    users = _users(pid)
    spaces = {kind: os.open(f"/proc/{pid}/ns/{kind}", os.O_RDONLY) for kind in _FLAGS}
    if users:
        _join(users[0], _NEWUSER)
    for kind, descriptor in spaces.items():
        _join(descriptor, _FLAGS[kind])
    for descriptor in users[1:]:
        _join(descriptor, _NEWUSER)
    child = os.fork()
    if child == 0:
        _become(uid, gid, folder, argv, status)
    os.write(status, b"outer %d\n" % child)
    for number in (0, 1, 2):
        os.dup2(null, number)
    _, ended = os.waitpid(child, 0)
    line = b"killed %d\n" % os.WTERMSIG(ended) if os.WIFSIGNALED(ended) else b"exited %d\n" % os.WEXITSTATUS(ended)
    os.write(status, line)


if __name__ == "__main__":
    main()
