"""The bubblewrap sandbox: namespaces of its own for files, processes, network, IPC and users, and a system call filter."""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import tempfile
from pathlib import Path

from shared.sandbox import forwarder, seccomp
from shared.sandbox.cgroup import ControlGroup, Hierarchy, find_hierarchy
from shared.sandbox.egress import sweep_egress
from shared.sandbox.environment import NO_REGISTRIES, SYSTEM_FILES, SYSTEM_FOLDERS, build_environment, host_system, interpreter_folders
from shared.sandbox.execution import Launch, memory_file
from shared.sandbox.local import LocalSandbox, check_spec
from shared.sandbox.port import Command, Keeper, Probe, Sandbox, SandboxSpec, System

_USER = 1000
_PORT = 8378
_FORWARDER, _SOCKET = "/run/persevere/forwarder.py", "/run/persevere/egress"
_PASSWD = b"root:x:0:0:root:/root:/bin/sh\npersevere:x:1000:1000::/tmp/home:/bin/sh\nnobody:x:65534:65534::/:/bin/false\n"
_GROUP = b"root:x:0:\npersevere:x:1000:\nnogroup:x:65534:\n"
_HOSTS = b"127.0.0.1 localhost\n::1 localhost\n"
_NSSWITCH = b"passwd: files\ngroup: files\nhosts: files dns\nservices: files\nprotocols: files\n"
_FAMILIES = (seccomp.AF_UNIX, seccomp.AF_INET, seccomp.AF_INET6, seccomp.AF_NETLINK)
_INSTALL = "Install bubblewrap: apt-get install bubblewrap"

# joins the control groups named before "--", then becomes bubblewrap
_ENTER = 'while [ "$1" != -- ]; do echo 0 >"$1" || exit 125; shift; done; shift; ulimit -c 0; ulimit -f "$1"; shift; exec "$@"'
_COMMAND = 'exec "$@"'
_COMMAND_FEW = 'n="$1"; shift; ulimit -p "$n" 2>/dev/null || ulimit -u "$n"; exec "$@"'


class BubblewrapSandbox(LocalSandbox):
    """Each command gets a fresh set of namespaces, with an empty /tmp of its own; only the workspace and writable folders last."""

    provider = "bubblewrap"
    helper_processes = 2

    def __init__(self, spec: SandboxSpec, hierarchy: Hierarchy | None, baseline: int, program: str) -> None:
        super().__init__(spec, hierarchy, baseline)
        self._program = program

    async def launch(self, command: Command, group: ControlGroup | None, stack: contextlib.AsyncExitStack) -> Launch:
        inherited: list[int] = []
        files = self._files(inherited)
        forward: list[str] = []
        network = NO_REGISTRIES
        if command.registries:
            egress = await self.egress(_PORT)
            network = egress.environment(_PORT)
            files += ["--ro-bind", forwarder.__file__, _FORWARDER, "--ro-bind", str(egress.socket), _SOCKET]
            forward = [os.path.realpath(sys.executable), "-I", "-S", _FORWARDER, str(_PORT), _SOCKET]
        environment = build_environment("/tmp/home", "/tmp", {**network, **command.environment})
        arguments = [*self._namespaces(), *files, *self._folders()]
        if seccomp.supported():
            inherited.append(memory_file(seccomp.build_filter(_FAMILIES)))
            arguments += ["--seccomp", str(inherited[-1])]
        reading, writing = os.pipe()
        inherited.append(writing)
        arguments += ["--json-status-fd", str(writing), "--clearenv", "--chdir", self.working_folder(command)]
        for name, value in environment.items():
            arguments += ["--setenv", name, value]
        inherited.append(memory_file("\0".join(arguments).encode("utf-8", "surrogateescape") + b"\0"))
        joins = group.join_files if group else []
        file_blocks = str(self._spec.limits.disk_mb * 2048)
        enter = ["/bin/sh", "-c", _ENTER, "sh", *joins, "--", file_blocks]
        inner = ["/bin/sh", "-c", _COMMAND, "sh"] if group else ["/bin/sh", "-c", _COMMAND_FEW, "sh", str(self._spec.limits.processes)]
        argv = [*enter, self._program, "--args", str(inherited[-1]), "--", *inner, *forward, *command.argv]
        return Launch(argv=argv, environment={"PATH": "/usr/bin:/bin"}, inherited=inherited, status=reading)

    def _namespaces(self) -> list[str]:
        user = ["--uid", str(_USER), "--gid", str(_USER)]
        return ["--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--hostname", "sandbox", *user]

    def _files(self, inherited: list[int]) -> list[str]:
        """The system, read-only, with /etc made up; /tmp, /dev/shm and /run are memory of limited size."""
        arguments: list[str] = []
        for folder in map(Path, SYSTEM_FOLDERS):
            if folder.is_symlink():
                arguments += ["--symlink", os.readlink(folder), str(folder)]
            elif folder.is_dir():
                arguments += ["--ro-bind", str(folder), str(folder)]
        for file in SYSTEM_FILES:
            arguments += ["--ro-bind-try", file, file]
        for path, data in (("passwd", _PASSWD), ("group", _GROUP), ("hosts", _HOSTS), ("nsswitch.conf", _NSSWITCH)):
            inherited.append(memory_file(data))
            arguments += ["--perms", "0644", "--ro-bind-data", str(inherited[-1]), f"/etc/{path}"]
        size = str(self._spec.limits.disk_mb * 1024 * 1024)
        arguments += ["--proc", "/proc", "--dev", "/dev", "--size", size, "--perms", "1777", "--tmpfs", "/dev/shm"]
        return [
            *arguments,
            "--size",
            size,
            "--perms",
            "1777",
            "--tmpfs",
            "/tmp",
            "--dir",
            "/tmp/home",
            "--dir",
            "/var/tmp",
            "--dir",
            "/run",
        ]

    def _folders(self) -> list[str]:
        """Shorter paths first, so that a folder within another is laid over it; then nothing more can be made at the root."""
        binds = dict.fromkeys((*interpreter_folders(), *self._spec.readable), "--ro-bind")
        binds.update(dict.fromkeys(self._spec.writable, "--bind"))
        binds[self._spec.workspace] = "--bind"
        arguments = []
        for path in sorted(binds, key=lambda path: len(path.parts)):
            arguments += [binds[path], str(path), str(path)]
        # Run by root, a process inside passes for root where /proc/sys looks at owners: `core_pattern` would run a program on the host.
        return [*arguments, "--remount-ro", "/proc", "--remount-ro", "/dev", "--remount-ro", "/"]


class BubblewrapProvider:
    name = "bubblewrap"
    isolated = True

    def __init__(self) -> None:
        self._hierarchy: Hierarchy | None = None
        self._looked = False

    async def probe(self) -> Probe:
        """Runs a command inside; works only if that command sees no other process and cannot write to the system."""
        if shutil.which("bwrap") is None:
            return Probe(False, "bubblewrap is not installed", _INSTALL)
        script = "test $(ls /proc | grep -c '^[0-9]*$') -le 5 && ! touch /usr/persevere-probe 2>/dev/null && echo isolated"
        with tempfile.TemporaryDirectory(prefix="persevere-probe-") as folder:
            sandbox = await self.open(SandboxSpec(workspace=Path(folder), task_id="probe"))
            try:
                result = await sandbox.run(Command(argv=["/bin/sh", "-c", script], timeout_s=10))
            except Exception as error:
                return Probe(False, f"bubblewrap does not work here: {error}", "Allow unprivileged user namespaces, or run as root.")
            finally:
                await sandbox.aclose()
        if result.stdout.strip() != "isolated":
            return Probe(False, f"bubblewrap does not isolate here: {result.stderr.strip()[-300:]}", "Allow unprivileged user namespaces.")
        return Probe(True, "bubblewrap runs a command in namespaces of its own")

    async def open(self, spec: SandboxSpec) -> Sandbox:
        resolved, baseline = await check_spec(spec)
        return BubblewrapSandbox(resolved, self.groups(), baseline, shutil.which("bwrap") or "bwrap")

    async def system(self) -> System:
        return host_system()

    async def sweep(self, keeper: Keeper | None = None) -> int:
        hierarchy = self.groups()
        return sweep_egress() + (hierarchy.sweep() if hierarchy else 0)

    def groups(self) -> Hierarchy | None:
        if not self._looked:
            self._hierarchy, self._looked = find_hierarchy(), True
        return self._hierarchy
