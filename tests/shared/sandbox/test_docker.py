"""What only Docker has: an engine that can be missing, away or replaced, containers left behind, and limits of the container itself."""

from __future__ import annotations

import asyncio
import errno
import json
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from shared.errors import SandboxError, SandboxGoneError, SandboxUnreachableError
from shared.metrics import render
from shared.sandbox.docker import DockerProvider, Found
from shared.sandbox.port import Command, Leftover, Limits, Sandbox, SandboxSpec
from shared.sandbox.remote import RemoteSandbox
from shared.types import CommandResult
from tests.docker_engine import RunningEngine

LIMITS = Limits(memory_mb=256, processes=40, disk_mb=40, output_bytes=100_000)
_seen: list[Found] = []


@pytest.fixture
async def provider(docker_engine: RunningEngine) -> DockerProvider:
    provider = DockerProvider(runtime="runc", found=_seen[0] if _seen else None)
    await provider.system()
    assert provider.found is not None
    _seen[:] = [provider.found]
    return provider


def spec(folder: Path, **labels: str) -> SandboxSpec:
    folder.mkdir(exist_ok=True)
    return SandboxSpec(workspace=folder, task_id="task_1", limits=LIMITS, labels=labels)


@pytest.fixture
async def sandbox(provider: DockerProvider, tmp_path: Path) -> AsyncIterator[Sandbox]:
    opened = await provider.open(spec(tmp_path / "workspace"))
    yield opened
    await opened.aclose()


async def shell(sandbox: Sandbox, script: str, timeout_s: float = 30) -> CommandResult:
    return await sandbox.run(Command(argv=["/bin/sh", "-c", script], timeout_s=timeout_s))


def containers(engine: RunningEngine) -> list[str]:
    return engine.docker("ps", "-aq").split()


async def test_without_an_engine_it_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nothing.sock")
    probe = await DockerProvider().probe()
    assert (probe.works, probe.reason) == (False, "docker: the Docker engine does not answer")
    assert "DOCKER_HOST" in probe.next_step
    assert await DockerProvider().sweep(Keeper()) == 0


def test_without_the_right_it_says_which(docker_engine: RunningEngine) -> None:
    script = """
import asyncio, os
import docker.errors, requests
from shared.sandbox.docker import DockerProvider
os.setresgid(65534, 65534, 65534); os.setgroups([]); os.setresuid(65534, 65534, 65534)
probe = asyncio.run(DockerProvider().probe())
print(probe.works, probe.reason, probe.next_step)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.startswith("False docker: this user may not use the Docker engine's socket"), done
    assert "group docker" in done.stdout


async def test_without_the_image_it_says_how_to_make_it(docker_engine: RunningEngine) -> None:
    probe = await DockerProvider("not-made").probe()
    assert (probe.works, probe.reason) == (False, "docker: The engine has no image not-made")
    assert probe.next_step == "docker build -t not-made -f compose/sandbox/Dockerfile ."
    unknown = await DockerProvider(runtime="kata").probe()
    assert not unknown.works
    assert "runc" in unknown.next_step


async def test_the_system_is_that_of_the_image(provider: DockerProvider, docker_engine: RunningEngine, sandbox: Sandbox) -> None:
    system = await provider.system()
    assert docker_engine.docker("image", "inspect", "-f", "{{.Id}}", "persevere-sandbox").strip() in system.identity
    assert not system.host
    asked = await sandbox.run(Command(argv=[system.python, "-c", "import sys, venv, ensurepip; print(*sys.version_info[:2])"]))
    assert asked.stdout.split() == [str(part) for part in system.python_version]
    tools = await sandbox.run(Command(argv=[system.tool_python, "-c", "import rope.base.project, packaging; print('fine')"]))
    assert tools.stdout == "fine\n", tools.stderr
    for program in ("git", "node", "npm"):
        assert (await sandbox.run(Command(argv=[program, "--version"]))).ok


async def test_the_hosts_proxy_and_its_password_stay_outside(
    provider: DockerProvider, docker_engine: RunningEngine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxies = dict.fromkeys(("httpProxy", "httpsProxy", "ftpProxy", "noProxy", "allProxy"), "http://corp:canary-7f3a@proxy:3128")
    (tmp_path / "config.json").write_text(json.dumps({"proxies": {"default": proxies}}))
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    opened = await DockerProvider(runtime="runc", found=provider.found).open(spec(tmp_path / "w"))
    try:
        seen = await shell(opened, "env; cat /proc/*/environ 2>/dev/null | tr '\\0' '\\n'")
        told = docker_engine.docker("inspect", *containers(docker_engine))
    finally:
        await opened.aclose()
    assert "PATH=" in seen.stdout
    assert "canary-7f3a" not in seen.stdout + told


async def test_a_command_has_no_right_at_all(sandbox: Sandbox) -> None:
    result = await shell(
        sandbox, "id -u; grep -E 'Cap(Prm|Eff|Bnd)|NoNewPrivs' /proc/self/status; ls /sys/class/net; cat /proc/1/environ; kill -9 1"
    )
    words = result.stdout.split()
    assert words[0] == "1000"
    assert [words[words.index(f"{name}:") + 1] for name in ("CapPrm", "CapEff", "CapBnd")] == ["0" * 16] * 3
    assert words[words.index("NoNewPrivs:") + 1 :] == ["1", "lo"]
    spared = await shell(sandbox, "kill -STOP 1; pkill -STOP sleep; kill -9 -1")
    assert spared.exit_code == 137
    assert (await shell(sandbox, "echo still")).stdout == "still\n"


async def test_all_there_is_can_be_executed_in_and_nothing_else_written(sandbox: Sandbox) -> None:
    script = "for f in /workspace /tmp /tmp/home; do cp /bin/true $f/run && $f/run || echo no $f; done"
    assert (await shell(sandbox, script)).stdout == ""
    found = await shell(sandbox, "find / -path /proc -prune -o -type d -writable -print 2>/dev/null")
    assert (
        {"/workspace", "/tmp", "/tmp/home"} <= set(found.stdout.split()) <= {"/workspace", "/tmp", "/tmp/home", "/dev/shm", "/dev/mqueue"}
    )


async def test_readable_folders_are_copied_to_an_engine_elsewhere(provider: DockerProvider, tmp_path: Path) -> None:
    assert provider.found is not None
    assert provider.found.shares_files
    elsewhere = DockerProvider(runtime="runc", found=replace(provider.found, shares_files=False))
    folder = tmp_path / "to read"
    (folder / "deep").mkdir(parents=True, mode=0o700)
    (folder / "deep/f").write_text("seen")
    (folder / "deep/f").chmod(0o600)
    for chosen in (provider, elsewhere):
        opened = await chosen.open(replace(spec(tmp_path / "w"), readable=[folder]))
        try:
            script = f"cd '{folder}' && cat deep/f; echo x >deep/f; rm -f deep/f; mkdir n; cat deep/f"
            assert (await shell(opened, script)).stdout == "seenseen"
        finally:
            await opened.aclose()


async def test_files_are_read_and_written_at_once(sandbox: Sandbox) -> None:
    times = []
    for number in range(40):
        started = time.monotonic()
        await sandbox.write("f", b"x" * 1000)
        assert len(await sandbox.read("f")) == 1000
        times.append(time.monotonic() - started)
        assert number < 1 or await sandbox.exists("f")
    assert sorted(times)[20] < 0.2


async def test_a_removed_container_is_gone(sandbox: Sandbox, docker_engine: RunningEngine) -> None:
    running = asyncio.create_task(shell(sandbox, "sleep 60", timeout_s=60))
    await asyncio.sleep(0.5)
    docker_engine.docker("rm", "-f", *containers(docker_engine))
    with pytest.raises(SandboxGoneError):
        await running
    for _ in range(2):
        with pytest.raises(SandboxGoneError):
            await sandbox.read("f")


async def test_its_own_time_ends_it_whatever_a_command_does(provider: DockerProvider, docker_engine: RunningEngine, tmp_path: Path) -> None:
    short = DockerProvider(runtime="runc", ttl_s=4, found=provider.found)
    opened = await short.open(spec(tmp_path / "w"))
    try:
        with pytest.raises(SandboxGoneError):
            await shell(opened, "kill -STOP 1; pkill -STOP sleep; trap '' TERM; while true; do sleep 1; done", timeout_s=60)
    finally:
        await opened.aclose()
    assert containers(docker_engine) == []


async def test_an_engine_that_was_killed_comes_back_to_the_same_sandbox(sandbox: Sandbox, docker_engine: RunningEngine) -> None:
    await sandbox.write("f", b"kept")
    running = asyncio.create_task(shell(sandbox, "sleep 61.5", timeout_s=90))
    await asyncio.sleep(0.5)
    docker_engine.kill()
    try:
        with pytest.raises(SandboxUnreachableError):
            await running
        with pytest.raises(SandboxUnreachableError):
            await sandbox.read("f")
    finally:
        docker_engine.start()
    assert await sandbox.read("f") == b"kept"
    assert "61.5" not in (await shell(sandbox, "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")).stdout.replace("cat /proc", "")
    assert (await shell(sandbox, "echo on")).stdout == "on\n"


@pytest.mark.slow
async def test_an_engine_that_hangs_is_unreachable(sandbox: Sandbox, docker_engine: RunningEngine) -> None:
    await sandbox.write("f", b"kept")
    docker_engine.freeze()
    try:
        started = time.monotonic()
        with pytest.raises(SandboxUnreachableError):
            await asyncio.gather(shell(sandbox, "cat f", timeout_s=120), sandbox.read("f"))
        assert time.monotonic() - started < 60
    finally:
        docker_engine.thaw()
    assert await sandbox.read("f") == b"kept"


@pytest.mark.slow
async def test_a_command_that_stops_the_runner_stops_itself_only(sandbox: Sandbox) -> None:
    result = await shell(sandbox, "kill -STOP -1; sleep 300", timeout_s=120)
    assert result.exit_code == 137
    assert (await shell(sandbox, "echo on")).stdout == "on\n"


async def test_probes_leave_nothing(docker_engine: RunningEngine) -> None:
    before = containers(docker_engine)
    assert (await DockerProvider(runtime="runc").probe()).works
    assert containers(docker_engine) == before


@dataclass
class Keeper:
    """Owns what its labels say; keeps the file `f` of what is left, or fails at it."""

    alive: str = ""
    folder: Path | None = None
    rescued: list[tuple[str, bytes]] = field(default_factory=list)

    async def owns(self, labels: Mapping[str, str]) -> bool:
        return labels["run"] == self.alive

    async def rescue(self, leftover: Leftover) -> None:
        if self.folder is None:
            raise SandboxError("The database is away.")
        target = self.folder / f"rescued-{len(self.rescued)}"
        target.mkdir()
        (target / "old").write_text("x")
        await leftover.fetch(target)
        assert not (target / "old").exists()
        self.rescued.append((leftover.labels["run"], (target / "f").read_bytes()))


OWNER = """
import asyncio, sys
from pathlib import Path
from shared.sandbox.docker import DockerProvider
from shared.sandbox.port import Command, SandboxSpec
async def main():
    sandbox = await DockerProvider(runtime="runc").open(SandboxSpec(workspace=Path(sys.argv[1]), task_id="t", labels={"run": sys.argv[2]}))
    await sandbox.write("f", sys.argv[2].encode())
    print("ready", flush=True)
    await sandbox.run(Command(argv=["/bin/sh", "-c", "while true; do date >>busy; done"]))
asyncio.run(main())
"""


async def test_what_a_killed_process_left_is_rescued_once_and_removed(
    provider: DockerProvider, docker_engine: RunningEngine, tmp_path: Path
) -> None:
    folder = tmp_path / "theirs"
    folder.mkdir()
    owner = subprocess.Popen([sys.executable, "-c", OWNER, str(folder), "dead"], stdout=subprocess.PIPE)
    assert owner.stdout is not None
    with owner.stdout:
        assert await asyncio.to_thread(owner.stdout.readline) == b"ready\n"
        owner.kill()
        owner.wait()
    mine = await provider.open(spec(tmp_path / "mine", run="alive"))
    try:
        before = leaked()
        assert await provider.sweep() == 0
        assert await provider.sweep(Keeper("alive")) == 0
        assert len(containers(docker_engine)) == 2
        keepers = [Keeper("alive", tmp_path), Keeper("alive", tmp_path), Keeper("alive", tmp_path)]
        counts = await asyncio.gather(*(DockerProvider(found=provider.found).sweep(keeper) for keeper in keepers))
        assert sorted(counts) == [0, 0, 1]
        assert [found for keeper in keepers for found in keeper.rescued] == [("dead", b"dead")]
        assert leaked() == before + 1
        assert len(containers(docker_engine)) == 1
        assert (await shell(mine, "echo on")).stdout == "on\n"
    finally:
        await mine.aclose()


async def leave(provider: DockerProvider, folder: Path, ttl_s: int) -> None:
    """A container whose owner is no more."""
    opened = await DockerProvider(runtime="runc", ttl_s=ttl_s, found=provider.found).open(spec(folder, run="dead"))
    assert isinstance(opened, RemoteSandbox)
    await opened.write("f", b"dead")
    assert opened._connection is not None
    await opened._connection.aclose()


class Full(Keeper):
    """Has no room to rescue into."""

    async def rescue(self, leftover: Leftover) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")


async def test_a_rescue_that_breaks_holds_up_no_other(provider: DockerProvider, docker_engine: RunningEngine, tmp_path: Path) -> None:
    for number in range(2):
        await leave(provider, tmp_path / f"w{number}", 600)
    try:
        for keeper in (Keeper(), Full()):
            assert await provider.sweep(keeper) == 0
            assert "Paused" not in docker_engine.docker("ps", "--format", "{{.Status}}")
            assert len(containers(docker_engine)) == 2
        rescuer = Keeper("", tmp_path)
        assert await provider.sweep(rescuer) == 2
        assert rescuer.rescued == [("dead", b"dead")] * 2
    finally:
        docker_engine.remove_containers()


async def test_what_cannot_be_rescued_ends_by_its_own_time(provider: DockerProvider, docker_engine: RunningEngine, tmp_path: Path) -> None:
    await leave(provider, tmp_path / "w", 5)
    try:
        assert await provider.sweep(Full()) == 0
        end = time.monotonic() + 12
        while docker_engine.docker("ps", "-q") and time.monotonic() < end:
            await asyncio.sleep(0.2)
        assert docker_engine.docker("ps", "-q") == ""
        assert await provider.sweep(Full()) == 1
    finally:
        docker_engine.remove_containers()


def leaked() -> float:
    lines = render().decode().splitlines()
    return next((float(line.split()[1]) for line in lines if line.startswith("sandboxes_leaked_total ")), 0.0)


async def test_the_container_says_whose_it_is(provider: DockerProvider, docker_engine: RunningEngine, tmp_path: Path) -> None:
    opened = await provider.open(spec(tmp_path / "w", run="r1"))
    try:
        told = json.loads(docker_engine.docker("inspect", *containers(docker_engine)))[0]["Config"]["Labels"]
    finally:
        await opened.aclose()
    assert told["persevere.run"] == "r1"
    assert told["persevere.task"] == "task_1"
    assert {"persevere.process", "persevere.host", "persevere.opened"} <= told.keys()
    assert containers(docker_engine) == []
