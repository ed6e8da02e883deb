"""The Landlock sandbox: for Linux machines without bubblewrap or user namespaces.

Landlock refuses files outside the named folders, TCP and signals to others; seccomp refuses sockets, System V IPC and dangerous calls;
every capability is dropped. As root the rest of the file system also becomes read-only mounts. What it cannot do: hide the list of
processes, give a network of its own (no loopback either: tests that open sockets fail inside), or, without root, keep a program from
changing modes and times of files that its user owns. So bubblewrap is preferred.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from pathlib import Path

from shared.sandbox import launcher, seccomp
from shared.sandbox.cgroup import ControlGroup, Hierarchy
from shared.sandbox.environment import SYSTEM_FILES, SYSTEM_FOLDERS, interpreter_folders
from shared.sandbox.execution import Launch
from shared.sandbox.port import Command, Probe, Sandbox, SandboxSpec
from shared.sandbox.process import ProcessProvider, ProcessSandbox

_ETC = ("/etc/passwd", "/etc/group", "/etc/hosts", "/etc/nsswitch.conf", "/proc", "/sys/devices/system/cpu", "/sys/fs/cgroup")
_NEXT = "Install bubblewrap: apt-get install bubblewrap"


class LandlockSandbox(ProcessSandbox):
    provider = "landlock"

    async def launch(self, command: Command, group: ControlGroup | None, stack: contextlib.AsyncExitStack) -> Launch:
        read = [*SYSTEM_FOLDERS, *SYSTEM_FILES, *_ETC, *map(str, interpreter_folders()), *map(str, self._spec.readable)]
        write = [str(path) for path in (self._spec.workspace, *self._spec.writable, self.private)]
        added, port = await self.network(command)
        program = seccomp.build_filter(() if port is None else (seccomp.AF_INET,), own_ipc=False, tcp_only=True)
        confined = {"read": read, "write": write, "port": port}
        return self.start_launcher(command, group, {**added, **command.environment}, confined, program)


class LandlockProvider(ProcessProvider):
    name = "landlock"
    isolated = True

    async def probe(self) -> Probe:
        """Runs a command inside; works only if it may write to its workspace and not beside it."""
        if launcher.landlock_abi() < 4 or not seccomp.supported():
            return Probe(False, "this kernel has no Landlock of version 4 (Linux 6.7) or newer", _NEXT)
        with tempfile.TemporaryDirectory(prefix="persevere-probe-") as folder:
            outside, inside = Path(folder, "outside"), Path(folder, "inside")
            inside.mkdir()
            outside.write_text("private")
            sandbox = await self.open(SandboxSpec(workspace=inside, task_id="probe"))
            script = f"touch here && ! cat '{outside}' 2>/dev/null && ! touch '{outside}' 2>/dev/null && echo isolated"
            try:
                result = await sandbox.run(Command(argv=["/bin/sh", "-c", script], timeout_s=10))
            except Exception as error:
                return Probe(False, f"Landlock does not work here: {error}", _NEXT)
            finally:
                await sandbox.aclose()
        if result.stdout.strip() != "isolated":
            return Probe(False, f"Landlock does not isolate here: {result.stderr.strip()[-300:]}", _NEXT)
        return Probe(True, f"Landlock version {launcher.landlock_abi()} with a system call filter{' as root' if os.geteuid() == 0 else ''}")

    def build(self, spec: SandboxSpec, hierarchy: Hierarchy | None, baseline: int, private: Path) -> Sandbox:
        return LandlockSandbox(spec, hierarchy, baseline, private)
