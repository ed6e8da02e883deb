"""The plain process: no isolation at all. Only for code one trusts, and only when asked for by name."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from shared.sandbox import launcher
from shared.sandbox.cgroup import ControlGroup, Hierarchy, find_hierarchy, process_start
from shared.sandbox.environment import NO_REGISTRIES, build_environment, host_system
from shared.sandbox.execution import Launch, memory_file
from shared.sandbox.local import LocalSandbox, check_spec
from shared.sandbox.port import Command, Keeper, Probe, Sandbox, SandboxSpec, System


class ProcessSandbox(LocalSandbox):
    """Limits hold and the whole tree ends, but the command may read and write what we may, and use the network."""

    provider = "process"

    def __init__(self, spec: SandboxSpec, hierarchy: Hierarchy | None, baseline: int, private: Path) -> None:
        super().__init__(spec, hierarchy, baseline)
        self.private = private
        (private / "home").mkdir(parents=True)

    def private_folders(self) -> list[Path]:
        return [self.private]

    async def launch(self, command: Command, group: ControlGroup | None, stack: contextlib.AsyncExitStack) -> Launch:
        added, _ = await self.network(command)
        return self.start_launcher(command, group, {**added, **command.environment}, None, b"")

    async def network(self, command: Command) -> tuple[dict[str, str], int | None]:
        """The variables for installers, and the proxy's loopback port if this command may use it."""
        if not command.registries:
            return NO_REGISTRIES, None
        egress = await self.egress()
        return egress.environment(egress.port), egress.port

    def start_launcher(
        self, command: Command, group: ControlGroup | None, added: Mapping[str, str], landlock: dict[str, Any] | None, program: bytes
    ) -> Launch:
        """The launch of `launcher.py` with what it needs to know; `landlock` and `program` as that module describes them."""
        reading, writing = os.pipe()
        limits = self._spec.limits
        spec = {
            "argv": list(command.argv),
            "cwd": self.working_folder(command),
            "environment": build_environment(str(self.private / "home"), str(self.private), added),
            "join": group.join_files if group else [],
            "file_bytes": limits.disk_mb * 1024 * 1024,
            "data_bytes": None if group else limits.memory_mb * 1024 * 1024,
            "processes": None if group or os.geteuid() == 0 else limits.processes,
            "alive": reading,
            "landlock": landlock,
            "seccomp": base64.b64encode(program).decode(),
        }
        described = memory_file(json.dumps(spec).encode())
        argv = [sys.executable, "-I", "-S", launcher.__file__, str(described)]
        return Launch(argv=argv, environment={}, inherited=[described, reading], alive=writing)

    async def aclose(self) -> None:
        await super().aclose()
        shutil.rmtree(self.private, ignore_errors=True)


class ProcessProvider:
    name = "process"
    isolated = False

    def __init__(self, data_dir: Path) -> None:
        self._folder = data_dir / "sandboxes"
        self._hierarchy: Hierarchy | None = None
        self._looked = False

    async def probe(self) -> Probe:
        return Probe(True, "unsafe: a plain process, with no isolation from this machine's files and network")

    async def open(self, spec: SandboxSpec) -> Sandbox:
        resolved, baseline = await check_spec(spec)
        return self.build(resolved, self.groups(), baseline, self.make_private())

    def build(self, spec: SandboxSpec, hierarchy: Hierarchy | None, baseline: int, private: Path) -> Sandbox:
        return ProcessSandbox(spec, hierarchy, baseline, private)

    def make_private(self) -> Path:
        """A folder of one sandbox, named by its owner so that it can be swept when that died."""
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        return Path(tempfile.mkdtemp(prefix=f"{os.getpid()}-{process_start(os.getpid())}-", dir=self._folder.resolve()))

    async def system(self) -> System:
        return host_system()

    async def sweep(self, keeper: Keeper | None = None) -> int:
        hierarchy = self.groups()
        removed = hierarchy.sweep() if hierarchy else 0
        if self._folder.is_dir():
            for path in self._folder.iterdir():
                pid, _, rest = path.name.partition("-")
                if pid.isdigit() and process_start(int(pid)) != rest.partition("-")[0]:
                    shutil.rmtree(path, ignore_errors=True)
                    removed += 1
        return removed

    def groups(self) -> Hierarchy | None:
        if not self._looked:
            self._hierarchy, self._looked = find_hierarchy(), True
        return self._hierarchy
