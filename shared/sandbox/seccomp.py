"""Classic BPF filters for seccomp, assembled by hand for x86_64 and aarch64.

A filter lets everything through but a list of system calls that a build or a test never needs and that reach the kernel's
riskiest parts. `socket()` is the exception: only the named address families are let through.
"""

from __future__ import annotations

import errno
import platform
import struct
from collections.abc import Sequence

AF_UNIX, AF_INET, AF_INET6, AF_NETLINK = 1, 2, 10, 16
SOCK_STREAM = 1

_ALLOW, _ERRNO = 0x7FFF0000, 0x00050000
_LOAD, _JEQ, _JSET, _JGE, _AND, _RET = 0x20, 0x15, 0x45, 0x35, 0x54, 0x06
_AUDIT = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_NEW_NAMESPACES = 0x7E020000
_TERMINAL_INJECTION = (0x5412, 0x541C)  # TIOCSTI, TIOCLINUX

# name: (x86_64, aarch64); None where the architecture has none
_EPERM_CALLS: dict[str, tuple[int | None, int | None]] = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "setns": (308, 268),
    "unshare": (272, 97),
    "userfaultfd": (323, 282),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "reboot": (169, 142),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "quotactl_fd": (443, 443),
    "syslog": (103, 116),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "iopl": (172, None),
    "ioperm": (173, None),
    "modify_ldt": (154, None),
    "uselib": (134, None),
    "open_by_handle_at": (304, 265),
    "lookup_dcookie": (212, 18),
    "vhangup": (153, 58),
    "fanotify_init": (300, 262),
}
# ENOSYS, so that programs fall back to the older call
_ENOSYS_CALLS: dict[str, tuple[int | None, int | None]] = {
    "clone3": (435, 435),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
}
# System V and POSIX message IPC: shared with the host where there is no namespace of its own
_IPC_CALLS: dict[str, tuple[int | None, int | None]] = {
    "shmget": (29, 194),
    "shmat": (30, 196),
    "shmctl": (31, 195),
    "semget": (64, 190),
    "semop": (65, 193),
    "semctl": (66, 191),
    "semtimedop": (220, 192),
    "msgget": (68, 186),
    "msgsnd": (69, 189),
    "msgrcv": (70, 188),
    "msgctl": (71, 187),
    "mq_open": (240, 180),
    "mq_unlink": (241, 181),
}
_CLONE, _IOCTL, _SOCKET, _PRLIMIT = (56, 220), (16, 29), (41, 198), (302, 261)


def supported() -> bool:
    return platform.machine() in _AUDIT


def build_filter(families: Sequence[int], *, own_ipc: bool = True, tcp_only: bool = False) -> bytes:
    """The filter as an array of `struct sock_filter`.

    `families`: what `socket()` may open. `own_ipc`: the sandbox has an IPC and a pid namespace of its own; without, System V IPC and the
    limits of other processes are refused too. `tcp_only`: of the families only TCP streams (no UDP, MPTCP or SMC).
    KeyError on an architecture without a table.
    """
    machine = platform.machine()
    column = list(_AUDIT).index(machine)
    program = _Program()
    program.load(4)
    program.jump(_JEQ, _AUDIT[machine], 1, 0)
    program.refuse(errno.ENOSYS)
    program.load(0)
    if machine == "x86_64":
        program.when(_JGE, 0x40000000, errno.ENOSYS)
    refused = _EPERM_CALLS if own_ipc else {**_EPERM_CALLS, **_IPC_CALLS}
    for table, code in ((refused, errno.EPERM), (_ENOSYS_CALLS, errno.ENOSYS)):
        for numbers in table.values():
            number = numbers[column]
            if number is not None:
                program.when(_JEQ, number, code)
    program.block(_CLONE[column], [(0, _JSET, _NEW_NAMESPACES, errno.EPERM)])
    program.block(_IOCTL[column], [(1, _JEQ, value, errno.EPERM) for value in _TERMINAL_INJECTION])
    if not own_ipc:
        program.block_unless(_PRLIMIT[column], 0, [0])
    program.sockets(_SOCKET[column], families, tcp_only)
    program.allow()
    return bytes(program.code)


class _Program:
    """Instructions, and the few shapes the filter is made of. The accumulator holds the call's number between blocks."""

    def __init__(self) -> None:
        self.code = bytearray()

    def emit(self, code: int, value: int, yes: int = 0, no: int = 0) -> None:
        self.code += struct.pack("=HBBI", code, yes, no, value)

    def load(self, offset: int) -> None:
        self.emit(_LOAD, offset)

    def jump(self, code: int, value: int, yes: int, no: int) -> None:
        self.emit(code, value, yes, no)

    def refuse(self, code: int) -> None:
        self.emit(_RET, _ERRNO | code)

    def allow(self) -> None:
        self.emit(_RET, _ALLOW)

    def when(self, test: int, value: int, code: int) -> None:
        self.jump(test, value, 0, 1)
        self.refuse(code)

    def block(self, number: int, tests: Sequence[tuple[int, int, int, int]]) -> None:
        """For one call: refuse when a test (argument, comparison, value, errno) on an argument's low word holds, else allow."""
        self.jump(_JEQ, number, 0, 3 * len(tests) + 1)
        for argument, test, value, code in tests:
            self.load(16 + 8 * argument)
            self.when(test, value, code)
        self.allow()

    def block_unless(self, number: int, argument: int, values: Sequence[int]) -> None:
        self.jump(_JEQ, number, 0, 2 + 2 * len(values))
        self.load(16 + 8 * argument)
        for value in values:
            self.jump(_JEQ, value, 0, 1)
            self.allow()
        self.refuse(errno.EPERM)

    def sockets(self, number: int, families: Sequence[int], tcp_only: bool) -> None:
        body = _Program()
        if tcp_only:
            body.load(16 + 8)
            body.emit(_AND, 0xF)
            body.jump(_JEQ, SOCK_STREAM, 1, 0)
            body.refuse(errno.EACCES)
            body.load(16 + 16)
            body.jump(_JEQ, 0, 2, 0)
            body.jump(_JEQ, 6, 1, 0)
            body.refuse(errno.EACCES)
        body.load(16)
        for family in families:
            body.jump(_JEQ, family, 0, 1)
            body.allow()
        body.refuse(errno.EACCES)
        self.jump(_JEQ, number, 0, len(body.code) // 8)
        self.code += body.code
