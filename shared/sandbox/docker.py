"""The Docker sandbox: one container for a task, on the engine of `DOCKER_HOST`, which may be this machine's, rootless, or elsewhere.

The container's own process only waits, as another user than the commands', so that they can neither end nor prolong it; its system is
read-only, its folders are memory of limited size, it has no network and no privilege. Under gVisor where the engine offers it.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from shared.errors import SandboxError, SandboxGoneError, SandboxUnreachableError
from shared.sandbox import docker_sweep
from shared.sandbox.docker_container import COMMANDS, GVISOR, KEEPER, MAIN, build_host_options, build_labels, world_readable
from shared.sandbox.docker_engine import START, Engine, ExecChannel, open_exec
from shared.sandbox.execution import finish
from shared.sandbox.local import check_spec
from shared.sandbox.port import Command, Keeper, Probe, Sandbox, SandboxSpec, System
from shared.sandbox.remote import RemoteSandbox, open_remote

_PYTHON, _TOOLS = "/usr/bin/python3", "/opt/persevere/tools/bin/python"
_BUILD = "docker build -t {image} -f compose/sandbox/Dockerfile ."
_ISOLATED = """
import os, socket
status = open("/proc/self/status").read()
def refused(*paths):
    for path in paths:
        try: open(path, "w"); return False
        except OSError: pass
    return True
def unreachable():
    with socket.socket() as s:
        s.settimeout(2)
        try: s.connect(("169.254.169.254", 80)); return False
        except OSError: return True
bare = all(int(line.split()[1], 16) == 0 for line in status.splitlines() if line.startswith("CapEff"))
if os.getuid() and bare and refused("/usr/p", "/etc/p", "/p") and unreachable(): print("isolated")
"""


@dataclass(frozen=True)
class Found:
    """What a trial sandbox showed of an engine."""

    system: System
    runtime: str
    remarks: tuple[str, ...]
    shares_files: bool


class DockerMachine:
    """See `Machine`."""

    text = bulk = False

    def __init__(self, engine: Engine, container: str) -> None:
        self.engine, self.container = engine, container

    async def start(self, argv: Sequence[str], environment: dict[str, str], *, owner: bool = False) -> ExecChannel:
        return await open_exec(self.engine, self.container, list(argv), environment, KEEPER if owner else COMMANDS)

    async def put(self, source: Path, target: str) -> None:
        raise NotImplementedError

    async def get(self, source: str, target: Path, most: int) -> None:
        raise NotImplementedError

    async def look(self) -> None:
        await self.engine.look(self.container)

    async def pause(self) -> None:
        with contextlib.suppress(SandboxAlreadyError):
            await self._change(lambda api: api.pause(self.container), "already paused")

    async def resume(self) -> None:
        with contextlib.suppress(SandboxAlreadyError):
            await self._change(lambda api: api.unpause(self.container), "not paused")

    async def remove(self) -> None:
        with contextlib.suppress(SandboxGoneError, SandboxAlreadyError):
            await self._change(lambda api: api.remove_container(self.container, force=True, v=True), "already in progress")

    async def _change(self, what: Any, already: str) -> None:
        try:
            await self.engine.call(what)
        except SandboxError as error:
            if already in error.message:
                raise SandboxAlreadyError(error.message) from error
            raise


class SandboxAlreadyError(SandboxError):
    """The container is as asked already."""


class DockerProvider:
    name = "docker"
    isolated = True

    def __init__(
        self, image: str = "persevere-sandbox", runtime: str | None = None, ttl_s: int = 4 * 3600, found: Found | None = None
    ) -> None:
        """`found`: what another provider of the same engine has seen already."""
        self.image, self._runtime, self._ttl_s, self.found = image, runtime, ttl_s, found
        self.engine = Engine()
        self._looking = asyncio.Lock()

    async def probe(self) -> Probe:
        """Opens a sandbox and looks: works only if nothing but its workspace can be written and nothing be reached."""
        try:
            found = await self._look()
        except SandboxUnreachableError as error:
            return Probe(False, f"docker: {error.message[0].lower()}{error.message[1:].rstrip('.')}", error.next_step or START)
        except SandboxError as error:
            return Probe(False, f"docker: {error.message.rstrip('.')}", error.next_step)
        return Probe(True, "; ".join([f"docker runs containers under {found.runtime}", *found.remarks]))

    async def system(self) -> System:
        return (await self._look()).system

    async def open(self, spec: SandboxSpec) -> Sandbox:
        found = await self._look()
        resolved, _ = await check_spec(spec)
        mounted = [folder for folder in resolved.readable if found.shares_files and await asyncio.to_thread(world_readable, folder)]
        container, _ = await self._create(resolved, found.runtime, mounted, self._ttl_s)
        copied = [folder for folder in resolved.readable if folder not in mounted]
        return await open_remote(self.name, resolved, DockerMachine(self.engine, container), found.system, copied)

    async def sweep(self, keeper: Keeper | None = None) -> int:
        """See `SandboxProvider.sweep`. An engine that cannot be had keeps nothing of ours: 0."""
        if keeper is None:
            return 0
        try:
            return await docker_sweep.sweep(self.engine, keeper, lambda container: DockerMachine(self.engine, container), _TOOLS)
        except SandboxUnreachableError:
            return 0

    async def _look(self) -> Found:
        """A trial, once for each image that has the name."""
        image = await self._image()
        async with self._looking:
            if self.found is None or not self.found.system.identity.startswith(image):
                self.found = await self._try(image)
            return self.found

    async def _image(self) -> str:
        try:
            return str((await self.engine.call(lambda api: api.inspect_image(self.image)))["Id"])
        except SandboxUnreachableError:
            raise
        except SandboxError as error:
            raise SandboxError(f"The engine has no image {self.image}.", _BUILD.format(image=self.image)) from error

    async def _try(self, image: str) -> Found:
        """Under gVisor if the engine offers it and it works, unless another runtime is set."""
        info = await self.engine.call(lambda api: api.info())
        offered, default = info.get("Runtimes") or {}, str(info.get("DefaultRuntime") or "runc")
        rootless = any("rootless" in str(option) for option in info.get("SecurityOptions") or ())
        if self._runtime is not None and self._runtime not in offered:
            choices = ", ".join(sorted(offered))
            raise SandboxError(f"The engine has no runtime {self._runtime}.", f"PERSEVERE_SANDBOX_RUNTIME may be one of: {choices}.")
        if self._runtime is not None or GVISOR not in offered or default == GVISOR:
            return await self._try_runtime(image, self._runtime or default, rootless)
        try:
            return await self._try_runtime(image, GVISOR, rootless, chosen=False)
        except SandboxUnreachableError:
            raise
        except SandboxError as error:
            found = await self._try_runtime(image, default, rootless)
            return replace(found, remarks=(*found.remarks, f"its {GVISOR} does not work: {error.message.rstrip('.')}"))

    async def _try_runtime(self, image: str, runtime: str, rootless: bool, *, chosen: bool = True) -> Found:
        """`chosen`: somebody asked for it. What nobody asked for also has to run the programs of every day."""
        with tempfile.TemporaryDirectory(prefix="persevere-probe-") as folder:
            workspace, shared = Path(folder, "workspace"), Path(folder, "shared")
            workspace.mkdir()
            shared.mkdir(mode=0o755)
            word = secrets.token_hex(8)
            (shared / "word").write_text(word)
            spec, _ = await check_spec(SandboxSpec(workspace=workspace, task_id="probe", readable=[shared]))
            container, warnings, shares = await self._create_trial(spec, runtime, shared)
            system = System(image, _PYTHON, (3, 11), _TOOLS)
            sandbox = await open_remote(self.name, spec, DockerMachine(self.engine, container), system)
            try:
                version = await self._ask(sandbox)
                if not chosen:
                    await _check_everyday(sandbox)
                seen = await sandbox.run(Command(argv=["cat", str(shared / "word")], timeout_s=30))
            finally:
                await sandbox.aclose()
        identity = f"{image} python {version[0]}.{version[1]}.{version[2]}"
        return Found(
            replace(system, identity=identity, python_version=(version[0], version[1])),
            runtime,
            _remarks(warnings, rootless),
            shares and seen.stdout == word,
        )

    async def _ask(self, sandbox: RemoteSandbox) -> list[int]:
        result = await sandbox.run(Command(argv=[_TOOLS, "-I", "-c", _ISOLATED], timeout_s=30))
        if result.stdout.strip() != "isolated":
            raise SandboxError(f"Docker does not isolate here: {result.stderr.strip()[-300:]}.", "Use another sandbox: PERSEVERE_SANDBOX.")
        asked = await sandbox.run(Command(argv=[_PYTHON, "-c", "import json, sys; print(json.dumps(sys.version_info[:3]))"], timeout_s=30))
        if not asked.ok:
            raise SandboxError(f"The image {self.image} has no {_PYTHON}.", _BUILD.format(image=self.image))
        return [int(part) for part in json.loads(asked.stdout)]

    async def _create_trial(self, spec: SandboxSpec, runtime: str, folder: Path) -> tuple[str, tuple[str, ...], bool]:
        """With a folder of ours mounted, or, where the engine has no such folder, without: the engine's machine may be another."""
        try:
            return *await self._create(spec, runtime, [folder], 120), True
        except SandboxUnreachableError:
            raise
        except SandboxError:
            return *await self._create(replace(spec, readable=()), runtime, [], 120), False

    async def _create(self, spec: SandboxSpec, runtime: str, mounted: Sequence[Path], ttl_s: int) -> tuple[str, tuple[str, ...]]:
        """A running container for `spec`, and what the engine could not do of what was asked."""
        options = await asyncio.to_thread(build_host_options, spec, runtime, mounted)
        name = f"persevere-{secrets.token_hex(6)}"

        def create(api: Any) -> tuple[str, tuple[str, ...]]:
            made = api.create_container(
                self.image,
                ["tini", "--", "sleep", str(ttl_s)],
                name=name,
                user=MAIN,
                hostname="sandbox",
                working_dir="/",
                environment={},
                use_config_proxy=False,
                labels=build_labels(spec),
                host_config=api.create_host_config(**options),
            )
            api.start(made["Id"])
            return str(made["Id"]), tuple(str(warning).rstrip(".") for warning in made.get("Warnings") or ())

        creating = asyncio.create_task(self.engine.call(create))
        try:
            return await asyncio.shield(creating)
        except BaseException:
            await finish(self._undo(creating, name))
            raise

    async def _undo(self, creating: asyncio.Task[tuple[str, tuple[str, ...]]], name: str) -> None:
        """A call that was given up may still be made: the container is removed after it."""
        with contextlib.suppress(SandboxError):
            await creating
        with contextlib.suppress(SandboxError):
            await self.engine.call(lambda api: api.remove_container(name, force=True))


def _remarks(warnings: Sequence[str], rootless: bool) -> tuple[str, ...]:
    """What a person must be told of an engine that took the order and does not carry it out."""
    if not warnings:
        return ()
    where = "this rootless engine" if rootless else "this engine"
    return (f"{where} does not enforce every limit ({'; '.join(warnings)}), so only the watch inside keeps them",)


async def _check_everyday(sandbox: RemoteSandbox) -> None:
    """A gVisor older than the image's programs refuses their newer system calls, `ls` first."""
    ran = await sandbox.run(Command(argv=["/bin/sh", "-c", "ls -la / >/dev/null && stat / >/dev/null && git --version"], timeout_s=30))
    if not ran.ok:
        raise SandboxError(f"common programs do not run under it ({ran.stderr.strip()[-200:]}).", "Install a newer one.")
