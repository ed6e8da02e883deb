"""What the local sandboxes share: files of the workspace, limits of a command, and one place that ends everything."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path, PurePosixPath

from shared.errors import InvalidRequestError, NotFoundError, SandboxError
from shared.sandbox import workspace
from shared.sandbox.cgroup import ControlGroup, Hierarchy
from shared.sandbox.egress import EgressProxy, open_egress
from shared.sandbox.environment import host_system
from shared.sandbox.execution import Execution, Launch, Quota
from shared.sandbox.limits import disk_usage
from shared.sandbox.port import Command, OutputSink, SandboxSpec
from shared.sandbox.registry_config import load_registries
from shared.types import CommandResult


class LocalSandbox:
    """A sandbox made of processes of this machine. An adapter says how to launch; the rest is here."""

    provider = ""
    helper_processes = 1
    """Processes of ours that live in the command's control group."""

    def __init__(self, spec: SandboxSpec, hierarchy: Hierarchy | None, baseline: int) -> None:
        self._spec = spec
        self._hierarchy = hierarchy
        self._baseline = baseline
        self._running: set[Execution] = set()
        self._closed = False
        self._egress: EgressProxy | None = None
        self._egress_lock = asyncio.Lock()
        self._resources = contextlib.AsyncExitStack()
        self.root = spec.workspace
        self.system = host_system()

    async def launch(self, command: Command, group: ControlGroup | None, stack: contextlib.AsyncExitStack) -> Launch:
        """How this adapter starts a command; what must live as long as the command goes on the stack."""
        raise NotImplementedError

    async def run(self, command: Command, on_output: OutputSink | None = None) -> CommandResult:
        """See `Sandbox.run`. NotFoundError when `cwd` is missing, SandboxError when the sandbox itself cannot start."""
        self._check(command)
        await self.resume()
        async with contextlib.AsyncExitStack() as stack:
            group = self._open_group(stack)
            launch = await self.launch(command, group, stack)
            spec = self._spec
            quota = Quota([spec.workspace, *spec.writable, *self.private_folders()], self._baseline, spec.limits.disk_mb * 1024 * 1024)
            execution = Execution(launch, spec.limits, group, quota, on_output)
            self._running.add(execution)
            try:
                return await execution.run(command.stdin, command.timeout_s)
            finally:
                self._running.discard(execution)

    async def egress(self, inner_port: int | None = None) -> EgressProxy:
        """The sandbox's way to the registries, opened by the first command that may use it."""
        async with self._egress_lock:
            if self._egress is None:
                registries = await load_registries()
                self._egress = await self._resources.enter_async_context(open_egress(registries, inner_port=inner_port))
            return self._egress

    def private_folders(self) -> list[Path]:
        """Host folders of this sandbox alone that count against its disk."""
        return []

    def working_folder(self, command: Command) -> str:
        return str(PurePosixPath(str(self.root)) / command.cwd)

    async def read(self, path: str) -> bytes:
        return await asyncio.to_thread(workspace.read, self._spec.workspace, path)

    async def write(self, path: str, data: bytes) -> None:
        await asyncio.to_thread(workspace.write, self._spec.workspace, path, data)

    async def exists(self, path: str) -> bool:
        return await asyncio.to_thread(workspace.exists, self._spec.workspace, path)

    async def collect(self) -> None:
        """The host's folders are the sandbox's own."""

    async def pause(self) -> None:
        for execution in self._running:
            execution.freeze()

    async def resume(self) -> None:
        for execution in self._running:
            execution.thaw()

    async def aclose(self) -> None:
        """Ends every process and waits until they are gone."""
        self._closed = True
        for execution in self._running:
            execution.stop("cancelled")
        while self._running:
            await asyncio.sleep(0.005)
        await self._resources.aclose()

    def _check(self, command: Command) -> None:
        if self._closed:
            raise SandboxError("The sandbox is closed.", "Open a new one.")
        if not command.argv or any("\0" in part for part in (*command.argv, *command.environment, *command.environment.values())):
            raise InvalidRequestError("A command is empty or has a zero byte.")
        if not workspace.exists(self._spec.workspace, command.cwd):
            raise NotFoundError(f"There is no folder {command.cwd} in the workspace.")

    def _open_group(self, stack: contextlib.AsyncExitStack) -> ControlGroup | None:
        if self._hierarchy is None:
            return None
        try:
            group = self._hierarchy.open(self._spec.limits, self.helper_processes)
        except OSError as error:
            raise SandboxError(f"No control group could be made: {error.strerror}.") from error
        stack.callback(group.remove)
        return group


async def check_spec(spec: SandboxSpec) -> tuple[SandboxSpec, int]:
    """The spec with its folders resolved, and the bytes they hold now. SandboxError when the workspace is missing."""
    folder = spec.workspace.resolve()
    if not folder.is_dir():
        raise SandboxError(f"The workspace {spec.workspace} is not a folder.")
    resolved = SandboxSpec(
        workspace=folder,
        task_id=spec.task_id,
        readable=tuple(path.absolute() for path in spec.readable if path.exists()),
        writable=tuple(path.absolute() for path in spec.writable if path.exists()),
        limits=spec.limits,
        labels=spec.labels,
    )
    return resolved, await asyncio.to_thread(disk_usage, [resolved.workspace, *resolved.writable])
