"""One sandbox of the E2B stand-in as a real environment: its own processes, network and root folder, made by bubblewrap.

Its users are those of `compose/sandbox/install.sh` and the `user` that E2B adds; `root` may do what the kernel lets it. Started by
somebody who is not root, all are the same person. The tools of `/opt/persevere/tools` are those of our own environment.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from shared.sandbox.environment import SYSTEM_FILES, SYSTEM_FOLDERS, interpreter_folders

UID = 1000
USERS = {
    "persevere": (UID, UID, "/tmp/home"),
    "keeper": (1001, UID, "/tmp"),
    "user": (1002, 1002, "/home/user"),
    "root": (0, 0, "/root"),
}
_ENTER = Path(__file__).with_name("e2b_enter.py")
_PASSWD = "".join(f"{name}:x:{uid}:{gid}:{name}:{home}:/bin/bash\n" for name, (uid, gid, home) in USERS.items())
_GROUP = f"root:x:0:\npersevere:x:{UID}:\nuser:x:1002:\n"
_TOOLS = "/opt/persevere/tools"
_FOLDERS = (
    *(
        (name, "root", 0o755)
        for name in (".", "etc", "etc/ssl", "etc/ld.so.conf.d", "etc/pki", "home", "run", "var", "opt", "opt/persevere")
    ),
    *((name, "root", 0o1777) for name in ("tmp", "var/tmp")),
    ("home/user", "user", 0o755),
    ("workspace", "persevere", 0o755),
)
PYTHON = str(getattr(sys, "_base_executable", None) or sys.executable)


def missing() -> str:
    """What would have to be installed for the stand-in to work here; empty if nothing."""
    if not Path("/usr/bin/python3").exists():
        return "install Python: apt-get install python3"
    return "" if shutil.which("bwrap") else "install bubblewrap: apt-get install bubblewrap"


class Process:
    """A command inside. `inner` is its number inside; `ended` becomes ("exited" or "killed", code or signal)."""

    def __init__(self, waiter: subprocess.Popen[bytes], status: asyncio.StreamReader) -> None:
        self._waiter, self._status = waiter, status
        self.inner = self.outer = 0
        self.ended: asyncio.Future[tuple[str, int]] = asyncio.get_running_loop().create_future()

    async def started(self) -> None:
        """OSError when it could not be started."""
        while not (self.inner and self.outer):
            kind, _, rest = (await self._status.readline()).decode().partition(" ")
            if kind == "inner":
                self.inner = int(rest)
            elif kind == "outer":
                self.outer = int(rest)
            else:
                await asyncio.to_thread(self._waiter.wait)
                number, _, reason = rest.strip().partition(" ")
                raise OSError(int(number or 0), reason or "the sandbox ended")

    async def wait(self) -> tuple[str, int]:
        line = (await self._status.readline()).decode().split()
        await asyncio.to_thread(self._waiter.wait)
        if line[:1] == ["failed"]:
            return "exited", 127
        return (line[0], int(line[1])) if len(line) == 2 else ("killed", 9)

    def signal(self, number: signal.Signals) -> None:
        os.kill(self.outer, number)


class Machine:
    """`readable` folders of the host are part of its template."""

    def __init__(self, folder: Path, readable: Sequence[Path] = ()) -> None:
        self._folder = folder
        self._readable = readable
        self._init: subprocess.Popen[bytes] | None = None
        self._pid = 0
        self.frozen = False

    def boot(self) -> None:
        for name, user, mode in _FOLDERS:
            path = self._folder / name
            path.mkdir(parents=True, exist_ok=True)
            path.chmod(mode)
            if os.geteuid() == 0:
                os.chown(path, *USERS[user][:2])
        (self._folder / "etc/passwd").write_text(_PASSWD)
        (self._folder / "etc/group").write_text(_GROUP)
        reading, writing = os.pipe()
        with os.fdopen(reading, "rb") as info:
            try:
                self._init = subprocess.Popen(
                    [*self._bubblewrap(writing), "/bin/sleep", "infinity"],
                    pass_fds=[writing],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    start_new_session=True,
                    env={"PATH": "/usr/bin:/bin"},
                )
            finally:
                os.close(writing)
            self._pid = int(json.loads(info.read())["child-pid"])
        while not any(_command_line(pid) == b"/bin/sleep\0infinity\0" for pid in self.pids()):
            if self._init.poll() is not None:
                raise RuntimeError("bubblewrap could not make the sandbox; its reason is on stderr")
            time.sleep(0.002)

    def _bubblewrap(self, info: int) -> list[str]:
        own = ["--unshare-all", "--uid", str(UID), "--gid", str(UID)]
        root = ["--unshare-pid", "--unshare-net", "--unshare-ipc", "--unshare-uts", "--cap-drop", "ALL"]
        argv = [
            "bwrap",
            *(root if os.geteuid() == 0 else own),
            "--hostname",
            "e2b",
            "--new-session",
            "--die-with-parent",
            "--info-fd",
            str(info),
        ]
        argv += ["--bind", str(self._folder), "/"]
        for folder in SYSTEM_FOLDERS:
            if os.path.islink(folder):
                argv += ["--symlink", os.readlink(folder), folder]
            elif os.path.isdir(folder):
                argv += ["--ro-bind", folder, folder]
        for file in (*SYSTEM_FILES, "/etc/profile", "/etc/bash.bashrc"):
            argv += ["--ro-bind-try", file, file]
        argv += ["--proc", "/proc", "--dev", "/dev", "--ro-bind", sys.prefix, _TOOLS]
        for path in (*self._readable, *interpreter_folders()):
            for parent in reversed(path.parents[:-1]):
                argv += ["--perms", "0755", "--dir", str(parent)]
            argv += ["--ro-bind", str(path), str(path)]
        return argv

    async def spawn(
        self, argv: Sequence[str], environment: Mapping[str, str], cwd: str, user: str, descriptors: tuple[int, int, int]
    ) -> Process:
        """Start a command with these three streams. OSError when its folder or program is missing, KeyError for an unknown user."""
        uid, gid, home = USERS[user]
        variables = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": home, "USER": user, "LOGNAME": user}
        reading, writing = os.pipe()
        status = asyncio.StreamReader()
        transport, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(status), os.fdopen(reading, "rb", buffering=0)
        )
        try:
            waiter = subprocess.Popen(
                [PYTHON, "-I", "-S", str(_ENTER), str(self._pid), str(uid), str(gid), cwd, str(writing), *argv],
                env={**variables, **environment},
                stdin=descriptors[0],
                stdout=descriptors[1],
                stderr=descriptors[2],
                pass_fds=[writing],
                start_new_session=True,
            )
        finally:
            os.close(writing)
        process = Process(waiter, status)
        try:
            await process.started()
        except OSError:
            transport.close()
            raise
        return process

    async def ask(self, script: str, *arguments: str, stdin: bytes = b"", user: str = "root") -> tuple[int, bytes, bytes]:
        """Run one of our own Python scripts inside: its exit code and both outputs."""
        source = os.memfd_create("stdin")
        outputs = os.memfd_create("stdout"), os.memfd_create("stderr")
        try:
            for start in range(0, len(stdin), 1 << 20):
                os.write(source, stdin[start : start + (1 << 20)])
            os.lseek(source, 0, os.SEEK_SET)
            process = await self.spawn([PYTHON, "-I", "-S", "-c", script, *arguments], {}, "/", user, (source, *outputs))
            _, code = await process.wait()
            answers = []
            for output in outputs:
                size = os.fstat(output).st_size
                answers.append(os.pread(output, size, 0) if size else b"")
            return code, answers[0], answers[1]
        finally:
            for descriptor in (source, *outputs):
                os.close(descriptor)

    def pids(self) -> set[int]:
        """Every process inside, numbered as here."""
        found = set()
        with contextlib.suppress(OSError):
            own = os.readlink(f"/proc/{self._pid}/ns/pid")
            for name in os.listdir("/proc"):
                with contextlib.suppress(OSError):
                    if name.isdigit() and os.readlink(f"/proc/{name}/ns/pid") == own:
                        found.add(int(name))
        return found

    def freeze(self) -> None:
        self._send(signal.SIGSTOP)
        self.frozen = True

    def thaw(self) -> None:
        self._send(signal.SIGCONT)
        self.frozen = False

    def _send(self, number: signal.Signals) -> None:
        reached: set[int] = set()
        while fresh := self.pids() - reached:
            for pid in fresh:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            reached |= fresh

    def destroy(self) -> None:
        """End every process and remove the files."""
        if self._init is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._pid, signal.SIGKILL)
            self._init.kill()
            self._init.wait()
            self._init = None
        subprocess.run(["rm", "-rf", "--", str(self._folder)], check=False, stderr=subprocess.DEVNULL)


def _command_line(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""
