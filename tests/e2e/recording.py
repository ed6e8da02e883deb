"""A sandbox provider that keeps everything that enters and leaves its sandboxes, to be searched for what must never be there."""

from __future__ import annotations

import base64
import secrets
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from shared.sandbox.port import Command, Keeper, OutputSink, Probe, Sandbox, SandboxProvider, SandboxSpec, System
from shared.types import CommandResult

LOOK_AROUND = """
import os
for name in sorted(os.listdir("/proc")):
    if name.isdigit():
        for part in ("environ", "cmdline"):
            try: print(open(f"/proc/{name}/{part}", errors="replace").read().replace(chr(0), " "))
            except OSError: pass
print(dict(os.environ))
for path in ("/proc/self/mounts", "/proc/self/mountinfo", "/proc/net/tcp", "/etc/pip.conf", "/etc/hosts", "/etc/passwd", "/etc/npmrc"):
    try: print(path, open(path, errors="replace").read())
    except OSError: pass
skipped = ("/proc", "/sys", "/dev", "/usr", "/lib", "/lib64", "/bin", "/sbin", *os.environ["SKIPPED"].split(":"))
for folder, folders, files in os.walk("/"):
    folders[:] = [name for name in folders if os.path.join(folder, name) not in skipped]
    for name in files:
        try:
            path = os.path.join(folder, name)
            if os.path.isfile(path) and os.path.getsize(path) < 1_000_000: print(path, open(path, errors="replace").read()[:4000])
        except OSError: pass
for path in os.environ["WANTED"].split(":"):
    try: print("REA" + "CHED", path, open(path, errors="replace").read())
    except OSError: pass
"""
"""What a process inside can find: its own and every other environment it may see, mounts, made-up files, and all it can read."""


TOOLS = "/opt/persevere/tools"
"""Our own packages in a template: no place of secrets, and more than a command may print."""


@dataclass
class Canaries:
    """Made-up secrets, one for every place that has one; each can be told from all others."""

    values: dict[str, str] = field(default_factory=dict)

    def add(self, name: str, prefix: str = "") -> str:
        return self.values.setdefault(name, f"{prefix}{_MARK}{secrets.token_hex(16)}")

    def found_in(self, data: bytes) -> list[str]:
        """The names of those that some bytes hold, as they are or in the forms in which they travel."""
        marked = any(form in data for form in _MARKS)
        values = {name: value for name, value in self.values.items() if marked or _MARK not in value}
        return [name for name, value in values.items() if any(form in data for form in _forms(value))]


def _forms(value: str) -> Iterator[bytes]:
    plain = value.encode()
    yield from (plain, quote(value, safe="").encode(), plain.hex().encode(), plain[::-1])
    # In base64 a part depends on where it begins: three forms, without the ends that neighbours colour.
    for shift in range(3):
        yield base64.b64encode(b"\0" * shift + plain)[4:-4]


_MARK = "cnry"
_MARKS = (b"cnry", b"636e7279", b"yrnc", b"Y25y", b"Nucn", b"jbnJ5")
"""The mark in each of the forms: one look for all, since most of what passes holds none."""


@dataclass
class Record:
    """What passed the port: where, and the bytes."""

    passed: list[tuple[str, bytes]] = field(default_factory=list)
    wanted: list[Path] = field(default_factory=list)
    """Files of the host that a process inside tries to read."""
    commands: int = 0
    looked: int = 0
    _seen: set[int] = field(default_factory=set, repr=False)

    def add(self, where: str, *parts: object) -> None:
        for part in parts:
            data = part if isinstance(part, bytes) else str(part).encode("utf-8", "surrogateescape")
            if (key := hash(data)) not in self._seen:
                self._seen.add(key)
                self.passed.append((where, data))

    def add_folder(self, where: str, folder: Path) -> None:
        for path in folder.rglob("*"):
            self.add(f"{where} {path}", path)
            if path.is_symlink():
                self.add(f"{where} {path}", str(path.readlink()))
            elif path.is_file():
                self.add(f"{where} {path}", path.read_bytes())

    def leaks(self, canaries: Canaries) -> list[str]:
        return sorted({f"{name} in {where}" for where, data in self.passed for name in canaries.found_in(data)})

    @property
    def everything(self) -> bytes:
        return b"\n".join(data for _, data in self.passed)


class RecordingProvider:
    """Implements `SandboxProvider` around another one."""

    def __init__(self, inner: SandboxProvider, record: Record) -> None:
        self._inner, self.record = inner, record
        self.name, self.isolated = inner.name, inner.isolated

    async def probe(self) -> Probe:
        return await self._inner.probe()

    async def system(self) -> System:
        return await self._inner.system()

    async def sweep(self, keeper: Keeper | None = None) -> int:
        return await self._inner.sweep(keeper)

    async def open(self, spec: SandboxSpec) -> Sandbox:
        self.record.add("labels", dict(spec.labels), spec.task_id)
        folders = (spec.workspace, *_own(spec.readable), *spec.writable)
        for folder in folders:
            self.record.add_folder("put in", folder)
        return RecordingSandbox(await self._inner.open(spec), self.record, folders)


class RecordingSandbox:
    """Implements `Sandbox`. The first thing that happens in each is that a process looks around, with and without the registries."""

    def __init__(self, inner: Sandbox, record: Record, folders: Iterable[Path]) -> None:
        self._inner, self._record, self._folders = inner, record, tuple(folders)
        self._looked: set[bool] = set()
        self.provider, self.root, self.system = inner.provider, inner.root, inner.system

    async def run(self, command: Command, on_output: OutputSink | None = None) -> CommandResult:
        await self._look_around(command.registries)
        self._record.commands += 1
        return await self._run(command, on_output)

    async def _run(self, command: Command, on_output: OutputSink | None = None) -> CommandResult:
        where = f"command {list(command.argv)[:4]}"
        self._record.add(where, list(command.argv), command.cwd, dict(command.environment), command.stdin)

        async def sink(text: str) -> None:
            self._record.add(f"output of {where}", text)
            if on_output is not None:
                await on_output(text)

        result = await self._inner.run(command, sink)
        self._record.add(f"output of {where}", result.stdout, result.stderr)
        return result

    async def _look_around(self, registries: bool) -> None:
        if registries in self._looked:
            return
        self._looked.add(registries)
        skipped = [sys.prefix, sys.base_prefix, str(Path(sys.prefix).resolve()), TOOLS, *map(str, self._folders)]
        environment: Mapping[str, str] = {"SKIPPED": ":".join(skipped), "WANTED": ":".join(map(str, self._record.wanted))}
        argv = [self.system.python, "-I", "-S", "-c", LOOK_AROUND]
        result = await self._run(Command(argv=argv, environment=environment, registries=registries, timeout_s=60))
        assert result.exit_code == 0, (result.stopped_by, result.stderr[-2000:])
        assert "REACHED" not in result.stdout, result.stdout[result.stdout.index("REACHED") :][:300]
        self._record.looked += 1

    async def read(self, path: str) -> bytes:
        data = await self._inner.read(path)
        self._record.add(f"read {path}", data)
        return data

    async def write(self, path: str, data: bytes) -> None:
        self._record.add(f"write {path}", path, data)
        await self._inner.write(path, data)

    async def exists(self, path: str) -> bool:
        return await self._inner.exists(path)

    async def collect(self) -> None:
        await self._inner.collect()

    async def pause(self) -> None:
        await self._inner.pause()

    async def resume(self) -> None:
        await self._inner.resume()

    async def aclose(self) -> None:
        for folder in self._folders:
            self._record.add_folder("left in", folder)
        await self._inner.aclose()


def _own(readable: Iterable[Path]) -> list[Path]:
    """Without our own programs: they are the same on every machine."""
    programs = (Path(sys.prefix).resolve(), Path(sys.base_prefix).resolve(), Path(__file__).resolve().parents[2] / "workflows")
    return [folder for folder in readable if not any(folder.resolve().is_relative_to(program) for program in programs)]
