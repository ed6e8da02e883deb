"""One list of behaviours for every sandbox. The plain process is held to its limits, not to isolation, which it has none of."""

from __future__ import annotations

import asyncio
import os
import socket
import time
from pathlib import Path

import pytest

from shared.errors import InvalidRequestError, NotFoundError
from shared.sandbox.port import Command, Sandbox, SandboxProvider, SandboxSpec
from shared.types import CommandResult
from tests.conformance.conftest import LIMITS


async def shell(sandbox: Sandbox, script: str, timeout_s: float = 20, stdin: bytes = b"") -> CommandResult:
    return await sandbox.run(Command(argv=["/bin/sh", "-c", script], timeout_s=timeout_s, stdin=stdin))


async def python(sandbox: Sandbox, script: str, timeout_s: float = 20) -> CommandResult:
    return await sandbox.run(Command(argv=[sandbox.system.python, "-c", script], timeout_s=timeout_s))


def alive(marker: str) -> bool:
    """Whether a process that this machine sees has `marker` in its command line."""
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and marker.encode() in (entry / "cmdline").read_bytes():
                return True
        except OSError:
            continue
    return False


async def lives(sandbox: Sandbox, marker: str) -> bool:
    """The same, asked inside too where the machine is another: from here its processes may not be seen."""
    if sandbox.system.host:
        return alive(marker)
    script = """
import os, sys
marker = sys.stdin.buffer.read()
for name in filter(str.isdigit, os.listdir("/proc")):
    try: found = marker in open(f"/proc/{name}/cmdline", "rb").read()
    except OSError: continue
    if found: print("alive")
"""
    asked = await sandbox.run(Command(argv=[sandbox.system.python, "-c", script], stdin=marker.encode(), timeout_s=20))
    assert asked.ok, asked.stderr
    return alive(marker) or asked.stdout != ""


async def test_exit_codes_and_both_streams(sandbox: Sandbox) -> None:
    result = await shell(sandbox, "echo out; echo err >&2; exit 7")
    assert (result.exit_code, result.stdout, result.stderr, result.stopped_by) == (7, "out\n", "err\n", None)
    assert (await shell(sandbox, "kill -9 $$")).exit_code == 137
    assert (await sandbox.run(Command(argv=["no-such-program"]))).exit_code == 127


async def test_stdin_and_binary_output(sandbox: Sandbox) -> None:
    assert (await shell(sandbox, "cat", stdin=b"x" * 300_000 + b"end")).stdout.endswith("end")
    assert (await shell(sandbox, "cat")).stdout == ""
    assert (await shell(sandbox, r"printf 'a\377b\000c'")).stdout == "a\ufffdb\0c"


async def test_output_streams_while_it_runs(sandbox: Sandbox) -> None:
    seen: list[tuple[float, str]] = []

    async def sink(text: str) -> None:
        seen.append((time.monotonic(), text))

    await sandbox.run(Command(argv=["/bin/sh", "-c", "echo one; sleep 0.4; echo two"]), sink)
    assert "".join(text for _, text in seen) == "one\ntwo\n"
    assert seen[-1][0] - seen[0][0] > 0.2


async def test_a_failing_sink_ends_the_command(sandbox: Sandbox) -> None:
    async def sink(text: str) -> None:
        raise RuntimeError("no")

    started = time.monotonic()
    with pytest.raises(RuntimeError):
        await sandbox.run(Command(argv=["/bin/sh", "-c", "echo one; sleep 30"]), sink)
    assert time.monotonic() - started < 5


async def test_files_come_to_the_host(sandbox: Sandbox, workspace: Path) -> None:
    data = bytes(range(256)) * 40_000
    await sandbox.write("deep/er/f ü", data)
    assert await sandbox.read("deep/er/f ü") == data
    assert (await sandbox.run(Command(argv=["wc", "-c", "f ü"], cwd="deep/er"))).stdout.startswith(str(len(data)))
    await shell(sandbox, "echo hi >made; pwd >where")
    await sandbox.collect()
    assert (workspace / "made").read_text() == "hi\n"
    assert (workspace / "where").read_text().strip() == str(sandbox.root)
    assert await sandbox.exists("made")
    assert not await sandbox.exists("not/made")
    with pytest.raises(NotFoundError):
        await sandbox.read("missing")
    with pytest.raises(NotFoundError):
        await sandbox.run(Command(argv=["true"], cwd="missing"))


async def test_paths_that_leave_are_refused(sandbox: Sandbox, workspace: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("secret")
    await shell(sandbox, f"ln -s '{tmp_path}/secret' out; ln -s .. up; ln -s loop loop; ln -s made inside; echo fine >made")
    for path in ("../secret", "out", "up/secret", "/etc/hostname", "loop", "a/../../secret"):
        with pytest.raises((InvalidRequestError, NotFoundError)):
            await sandbox.read(path)
    for path in ("../new", "out", "up/new", "/tmp/persevere-new"):
        with pytest.raises(InvalidRequestError):
            await sandbox.write(path, b"x")
    assert (tmp_path / "secret").read_text() == "secret"
    assert not (tmp_path / "new").exists()
    assert await sandbox.read("inside") == b"fine\n"


async def test_the_environment_is_built_from_nothing(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOST_SECRET", "hunter2")
    result = await sandbox.run(Command(argv=["env"], environment={"ADDED": "yes"}))
    assert "hunter2" not in result.stdout
    assert "ADDED=yes" in result.stdout
    assert "LANG=C.UTF-8" in result.stdout
    assert f"HOME={Path.home()}" not in result.stdout


async def test_time_limit_kills_children_that_left(sandbox: Sandbox) -> None:
    marker = f"4{os.getpid()}.25"
    started = time.monotonic()
    result = await shell(sandbox, f"(setsid setsid sleep {marker} >/dev/null 2>&1 &); echo started; sleep 60", timeout_s=0.6)
    assert (result.stopped_by, result.exit_code, result.stdout) == ("timeout", None, "started\n")
    assert time.monotonic() - started < 5
    assert not await lives(sandbox, marker)
    assert (await shell(sandbox, f"(setsid setsid sleep {marker} >/dev/null 2>&1 &); sleep 0.2")).exit_code == 0
    assert not await lives(sandbox, marker)


async def test_cancelling_kills_the_tree_first(sandbox: Sandbox) -> None:
    marker = f"5{os.getpid()}.25"
    running = asyncio.create_task(shell(sandbox, f"(setsid sleep {marker} &); sleep {marker}", timeout_s=60))
    while not await lives(sandbox, f"sleep\0{marker}"):
        await asyncio.sleep(0.02)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert not await lives(sandbox, marker)


async def test_a_paused_sandbox_stands_still_and_goes_on(sandbox: Sandbox) -> None:
    lines: list[str] = []

    async def sink(text: str) -> None:
        lines.extend(text.split())

    script = "(while true; do echo tick; sleep 0.05; done) & sleep 1.5; kill $!"
    running = asyncio.create_task(sandbox.run(Command(argv=["/bin/sh", "-c", script], timeout_s=30), sink))
    while len(lines) < 3:
        await asyncio.sleep(0.02)
    await sandbox.pause()
    await asyncio.sleep(0.2)
    before = len(lines)
    await asyncio.sleep(0.5)
    assert len(lines) == before
    await sandbox.resume()
    assert (await running).exit_code == 0
    assert len(lines) > before + 2
    await sandbox.pause()
    assert (await shell(sandbox, "echo awake")).stdout == "awake\n"


async def test_closing_ends_what_runs(sandbox: Sandbox) -> None:
    running = asyncio.create_task(shell(sandbox, "sleep 60"))
    await asyncio.sleep(0.3)
    await sandbox.aclose()
    assert (await running).stopped_by == "cancelled"


async def test_a_fork_bomb_is_bounded(sandbox: Sandbox) -> None:
    script = """
import os, time
count = 0
while count < 400:
    try:
        pid = os.fork()
    except OSError:
        break
    if pid == 0:
        time.sleep(30)
        os._exit(0)
    count += 1
print(count)
"""
    result = await python(sandbox, script)
    assert result.stopped_by is not None or int(result.stdout) <= LIMITS.processes + 2


async def test_memory_limit(sandbox: Sandbox) -> None:
    result = await python(sandbox, "x = bytearray(600 << 20); print(len(x))")
    assert result.stopped_by == "memory" or "MemoryError" in result.stderr


async def test_output_limit(sandbox: Sandbox) -> None:
    started = time.monotonic()
    result = await shell(sandbox, "yes | head -c 10G", timeout_s=30)
    assert result.stopped_by == "output"
    assert result.truncated
    assert len(result.stdout) < LIMITS.output_bytes + 200
    assert time.monotonic() - started < 10
    kept = await shell(sandbox, "echo first; head -c 300000 /dev/zero | tr '\\0' x; echo; echo last")
    assert kept.ok
    assert kept.truncated
    assert kept.stdout.startswith("first\n")
    assert kept.stdout.endswith("last\n")


async def test_disk_limit(sandbox: Sandbox) -> None:
    many = "for i in 1 2 3 4 5 6 7 8; do head -c 12M /dev/zero >part$i; sleep 0.2; done; sleep 20"
    assert (await shell(sandbox, many)).stopped_by == "disk"


async def test_one_file_over_the_disk_limit(sandbox: Sandbox) -> None:
    result = await shell(sandbox, "head -c 200M /dev/zero >big")
    assert result.stopped_by == "disk"
    assert int((await shell(sandbox, "wc -c <big")).stdout) <= LIMITS.disk_mb << 20


async def test_twenty_at_once(sandbox: Sandbox) -> None:
    results = await asyncio.gather(*(shell(sandbox, f"sleep 0.1; echo {number}") for number in range(20)))
    assert [result.stdout for result in results] == [f"{number}\n" for number in range(20)]


async def test_one_of_several_is_ended_at_once(sandbox: Sandbox) -> None:
    others = [asyncio.create_task(shell(sandbox, "sleep 4; echo done")) for _ in range(3)]
    await asyncio.sleep(0.5)
    started = time.monotonic()
    assert (await shell(sandbox, "sleep 60", timeout_s=0.3)).stopped_by == "timeout"
    assert time.monotonic() - started < 2.5
    assert [(await other).stdout for other in others] == ["done\n"] * 3


async def test_twenty_sandboxes_at_once(provider: SandboxProvider, tmp_path: Path) -> None:
    async def use(number: int) -> str:
        folder = tmp_path / str(number)
        folder.mkdir()
        opened = await provider.open(SandboxSpec(workspace=folder, task_id=f"t{number}", limits=LIMITS))
        try:
            await opened.write("f", str(number).encode())
            result = await shell(opened, "cat f; touch done")
            await opened.collect()
            return result.stdout if (folder / "done").exists() else "not collected"
        finally:
            await opened.aclose()

    assert await asyncio.gather(*(use(number) for number in range(20))) == [str(number) for number in range(20)]


async def test_nothing_outside_is_read_or_written(isolated: Sandbox | None, tmp_path: Path) -> None:
    if isolated is None:
        return
    (tmp_path / "secret").write_text("hunter2")
    home = Path.home()
    result = await shell(
        isolated, f"cat '{tmp_path}/secret' /etc/shadow /proc/{os.getpid()}/environ; ls -A {home}/.ssh {home}/.config; true"
    )
    assert result.stdout == ""
    script = f"touch /usr/p /etc/p {home}/p '{tmp_path}/p' /p; echo x >'{tmp_path}/secret'; chmod 777 '{tmp_path}' /usr /etc; true"
    mode = tmp_path.stat().st_mode
    await shell(isolated, script)
    assert not any(Path(folder, "p").exists() for folder in ("/usr", "/etc", home, tmp_path, "/"))
    assert (tmp_path / "secret").read_text() == "hunter2"
    assert tmp_path.stat().st_mode == mode


async def test_no_network_and_no_sockets_of_the_host(isolated: Sandbox | None, tmp_path: Path) -> None:
    if isolated is None:
        return
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix, socket.socket(socket.AF_UNIX) as abstract:
        unix.bind(f"/tmp/persevere-{os.getpid()}.sock")
        unix.listen()
        abstract.bind(f"\0persevere-{os.getpid()}")
        abstract.listen()
        script = f"""
import socket
for family, address in ((socket.AF_INET, ("127.0.0.1", {tcp.getsockname()[1]})), (socket.AF_INET, ("169.254.169.254", 80)),
                        (socket.AF_UNIX, "/tmp/persevere-{os.getpid()}.sock"), (socket.AF_UNIX, "\\0persevere-{os.getpid()}")):
    try:
        s = socket.socket(family); s.settimeout(2); s.connect(address); print("reached", address)
    except OSError as error:
        print("refused")
"""
        result = await python(isolated, script)
        os.unlink(f"/tmp/persevere-{os.getpid()}.sock")
    assert result.stdout == "refused\n" * 4


async def test_dangerous_calls_are_refused(isolated: Sandbox | None) -> None:
    if isolated is None:
        return
    script = """
import ctypes, os
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
def call(name, *arguments):
    if libc.syscall(*arguments) >= 0: print("allowed", name)
if libc.ptrace(16, os.getppid(), 0, 0) == 0: print("allowed ptrace")
if libc.mount(b"none", b"/tmp", b"tmpfs", 0, None) == 0: print("allowed mount")
if libc.unshare(0x10000000) == 0: print("allowed unshare")
call("io_uring", 425, 1, 0)
call("kill host", 62, int(os.environ.get("HOST_PID")), 0) if os.uname().machine == "x86_64" else None
print("done")
"""
    command = Command(
        argv=[isolated.system.python, "-c", script],
        environment={"HOST_PID": str(os.getpid() if isolated.provider == "landlock" else 99999)},
    )
    assert (await isolated.run(command)).stdout == "done\n"


async def test_multiprocess_python_works(sandbox: Sandbox) -> None:
    result = await python(
        sandbox, "import asyncio, subprocess; print(subprocess.check_output(['echo', 'x'])); asyncio.run(asyncio.sleep(0))"
    )
    assert result.stdout == "b'x\\n'\n", result.stderr


async def test_sweep_leaves_the_living_alone(provider: SandboxProvider, sandbox: Sandbox) -> None:
    running = asyncio.create_task(shell(sandbox, "sleep 0.5; echo alive"))
    await asyncio.sleep(0.2)
    await provider.sweep()
    assert (await running).stdout == "alive\n"
