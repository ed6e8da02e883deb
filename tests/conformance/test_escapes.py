"""Attempts to get out of a sandbox, as whole commands. All must fail; the plain process is a sandbox in name only and is left out."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from shared.errors import PersevereError, SandboxGoneError
from shared.sandbox.port import Command, Sandbox, SandboxProvider, SandboxSpec
from shared.types import CommandResult
from tests.conformance.conftest import LIMITS
from tests.conformance.test_sandbox import alive

CANARY = "c4n4ry-" + os.urandom(8).hex()


async def shell(sandbox: Sandbox, script: str, timeout_s: float = 30, registries: bool = False) -> CommandResult:
    return await sandbox.run(Command(argv=["/bin/sh", "-c", script], timeout_s=timeout_s, registries=registries))


async def python(sandbox: Sandbox, script: str, timeout_s: float = 30, registries: bool = False) -> CommandResult:
    argv = [sandbox.system.python, "-I", "-S", "-c", script]
    return await sandbox.run(Command(argv=argv, timeout_s=timeout_s, registries=registries))


@pytest.fixture
def victim(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process of the host with a secret in its environment and one in its memory."""
    script = "import os, time; secret = os.environ['VICTIM'] * 2; print('up', flush=True); time.sleep(600)  # the-victim"
    with subprocess.Popen([sys.executable, "-c", script], env={**os.environ, "VICTIM": CANARY}, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        yield process
        process.kill()


async def test_the_hosts_environment_and_home_are_not_there(
    isolated: Sandbox | None, victim: subprocess.Popen[bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if isolated is None:
        return
    monkeypatch.setenv("HOST_SECRET", CANARY)
    home = tmp_path / "home"
    for name in (".ssh/id_rsa", ".aws/credentials", ".netrc", ".config/gh/hosts.yml"):
        (home / name).parent.mkdir(parents=True, exist_ok=True)
        (home / name).write_text(CANARY)
    script = f"""
import glob, os
places = ["/proc/1/environ", *glob.glob("/proc/*/environ"), *glob.glob("/proc/*/task/*/environ"), *glob.glob("/proc/*/cmdline")]
for pid in (1, os.getppid(), {os.getpid()}, {victim.pid}):
    for part in ("environ", "cmdline", "maps", "mem", "root/etc/shadow", "cwd/pyproject.toml", "fd/1", "fd/0"):
        places.append(f"/proc/{{pid}}/{{part}}")
homes = [{str(home)!r}, {str(Path.home())!r}, "/root", *glob.glob("/home/*"), "/proc/1/root{home}", "/proc/self/root/../..{home}"]
for home in homes:
    for name in (".ssh/id_rsa", ".aws/credentials", ".netrc", ".config/gh/hosts.yml", ".npmrc", ".gitconfig", ".bash_history"):
        places.append(f"{{home}}/{{name}}")
places += ["/etc/shadow", "/etc/sudoers", "/run/secrets/kubernetes.io/serviceaccount/token", "/dev/mem", "/dev/kmem", "/proc/kcore"]
for place in places:
    try:
        print("READ", place, os.read(os.open(place, os.O_RDONLY | os.O_NONBLOCK), 100_000))
    except OSError: pass
"""
    result = await python(isolated, script)
    assert result.exit_code == 0, result.stderr
    assert CANARY not in result.stdout
    # Landlock has no process ids of its own: the command lines of the host can be read, nothing more of its processes.
    assert "the-victim" not in result.stdout or isolated.provider == "landlock"
    read = {line.split()[1] for line in result.stdout.splitlines() if line.startswith("READ")}
    assert not {place for place in read if not place.startswith("/proc/")}


async def test_the_engine_that_runs_containers_is_not_reached(isolated: Sandbox | None) -> None:
    if isolated is None:
        return
    script = """
import socket
for path in ("/var/run/docker.sock", "/run/docker.sock", "/run/containerd/containerd.sock", "/run/podman/podman.sock",
             "/run/dbus/system_bus_socket", "/run/systemd/private", "/run/user/0/docker.sock", "/tmp/.X11-unix/X0"):
    try:
        s = socket.socket(socket.AF_UNIX); s.settimeout(2); s.connect(path); print("reached", path)
    except OSError: pass
print("done")
"""
    assert (await python(isolated, script)).stdout == "done\n"


@pytest.mark.parametrize("registries", [False, True], ids=["closed", "with the registries"])
async def test_loopback_services_of_the_host_are_not_reached(
    isolated: Sandbox | None, registries: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if isolated is None:
        return
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple/")
    name = f"persevere-{os.getpid()}"
    with ExitStack() as stack:
        tcp = stack.enter_context(socket.create_server(("0.0.0.0", 0)))
        six = stack.enter_context(socket.create_server(("::1", 0), family=socket.AF_INET6)) if socket.has_ipv6 else tcp
        udp = stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM))
        udp.bind(("127.0.0.1", 0))
        path = f"/tmp/{name}.sock"
        stack.callback(os.unlink, path)
        for address in (path, f"\0{name}"):
            unix = stack.enter_context(socket.socket(socket.AF_UNIX))
            unix.bind(address)
            unix.listen()
        port = tcp.getsockname()[1]
        hosts = ["127.0.0.1", "127.1.2.3", "0.0.0.0", "::ffff:127.0.0.1", "localhost", "host.docker.internal", *_own_addresses()]
        script = f"""
import socket
tries = [(socket.AF_UNIX, {path!r}), (socket.AF_UNIX, "\\0{name}"), (socket.AF_INET6, ("::1", {six.getsockname()[1]}))]
for host in {hosts!r}: tries.append((socket.AF_INET6 if ":" in host else socket.AF_INET, (host, {port})))
for family, address in tries:
    try:
        s = socket.socket(family); s.settimeout(1); s.connect(address); print("reached", address)
    except OSError: pass
try:
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.sendto(b"hello", ("127.0.0.1", {udp.getsockname()[1]}))
except OSError: pass
try: socket.socket(socket.AF_PACKET, socket.SOCK_RAW); print("raw socket")
except OSError: pass
try: socket.socket(socket.AF_INET, socket.SOCK_RAW, 1); print("raw socket")
except OSError: pass
print("done")
"""
        result = await python(isolated, script, registries=registries)
        udp.settimeout(0.2)
        with pytest.raises(TimeoutError):
            udp.recv(10)
    assert result.stdout == "done\n", (result.stdout, result.stderr)


def _own_addresses() -> list[str]:
    """The addresses of this machine that others see."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe, suppress(OSError):
        probe.connect(("10.255.255.255", 1))
        return [probe.getsockname()[0]]
    return []


@pytest.mark.parametrize("registries", [False, True], ids=["closed", "with the registries"])
async def test_metadata_services_are_not_reached(isolated: Sandbox | None, registries: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """At once: a route that leads nowhere would let every attempt wait."""
    if isolated is None:
        return
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple/")
    script = """
import os, socket, time, urllib.request
started = time.monotonic()
for family, host in ((2, "169.254.169.254"), (2, "169.254.170.2"), (2, "100.100.100.200"), (10, "fd00:ec2::254"), (2, "1.1.1.1")):
    for port in (80, 53):
        try:
            s = socket.socket(family); s.settimeout(3); s.connect((host, port)); print("reached", host)
        except OSError: pass
    try: socket.socket(family, socket.SOCK_DGRAM).sendto(b"x", (host, 53)) and print("sent", host)
    except OSError: pass
for name in ("metadata.google.internal", "instance-data", "metadata", "example.com"):
    try: print("resolved", name, socket.getaddrinfo(name, 80))
    except OSError: pass
proxies = {name: value for name, value in os.environ.items() if name.lower().endswith("_proxy")}
for url in ("http://169.254.169.254/latest/meta-data/", "http://metadata.google.internal/"):
    for proxy in [None, *proxies.values()]:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({"http": proxy} if proxy else {}))
        try: print("fetched", url, opener.open(url, timeout=3).status)
        except OSError: pass
print("done", time.monotonic() - started < 5)
"""
    result = await python(isolated, script, registries=registries)
    assert result.stdout == "done True\n", (result.stdout, result.stderr)


async def test_a_fork_bomb_leaves_the_host_and_its_neighbours_responsive(
    isolated: Sandbox | None, provider: SandboxProvider, tmp_path: Path
) -> None:
    if isolated is None:
        return
    marker = f"bomb-{os.getpid()}-{os.urandom(4).hex()}"
    other = tmp_path / "other"
    other.mkdir()
    went = False
    neighbour = await provider.open(SandboxSpec(workspace=other, task_id="task_2", limits=LIMITS))
    try:
        calm = await _slowest(neighbour)
        bomb = asyncio.create_task(shell(isolated, f": {marker}; bomb() {{ bomb | bomb & bomb; }}; bomb", timeout_s=5))
        await asyncio.sleep(1)
        during = await _slowest(neighbour)
        try:
            await bomb
        except SandboxGoneError:
            went = True
    finally:
        await neighbour.aclose()
    assert during < max(3.0, 10 * calm), (calm, during)
    assert not alive(marker)
    if went:  # gVisor's kernel is a process among those that are counted: a bomb may end its own container, and nobody else's
        assert provider.name == "docker"
    else:
        assert (await shell(isolated, "echo again")).stdout == "again\n"


async def _slowest(sandbox: Sandbox) -> float:
    """Seconds that a small command takes, on the host and in a sandbox: the slowest of three."""
    times = []
    for _ in range(3):
        started = time.monotonic()
        process = await asyncio.create_subprocess_exec("true")
        await process.wait()
        assert (await shell(sandbox, "echo up")).stdout == "up\n"
        times.append(time.monotonic() - started)
    return max(times)


async def test_no_place_takes_more_than_its_room(isolated: Sandbox | None, tmp_path: Path) -> None:
    """Every place a process may write to, memory included, is bounded; the host's disk loses no more than that."""
    if isolated is None:
        return
    free = shutil.disk_usage(tmp_path).free
    script = """
import os
chunk = b"x" * (1 << 20)
for place in ("/tmp", "/dev/shm", "/var/tmp", "/run", "/run/lock", "/dev", "/", "/mnt", "/proc", "/sys/fs/cgroup", "/etc",
              os.environ["HOME"], os.getcwd()):
    written = 0
    try:
        with open(os.path.join(place, "fill"), "wb", buffering=0) as file:
            while written < 600: written += file.write(chunk) >> 20
    except OSError: pass
    print(place, written, flush=True)
"""
    result = await python(isolated, script, timeout_s=60)
    written = [int(line.split()[-1]) for line in result.stdout.splitlines()]
    assert result.stopped_by in ("disk", "memory") or max(written) < 600, result.stdout
    assert free - shutil.disk_usage(tmp_path).free < (LIMITS.disk_mb * 3 + 300) << 20


async def test_a_million_empty_files_are_stopped(isolated: Sandbox | None, workspace: Path) -> None:
    """They take no byte, but the host has only so many."""
    if isolated is None:
        return
    script = """
import os
for folder in range(1000):
    os.mkdir(f"d{folder}")
    for number in range(1000): os.close(os.open(f"d{folder}/{number}", os.O_CREAT | os.O_WRONLY))
"""
    result = await python(isolated, script, timeout_s=60)
    assert result.exit_code != 0, result


async def test_depths_that_no_path_can_name_are_stopped_and_removed(
    provider: SandboxProvider, isolated: Sandbox | None, tmp_path: Path
) -> None:
    """What lies deeper than a path is long would not be counted; and what cannot be removed would stay for ever."""
    if isolated is None:
        return
    folder = tmp_path / "deep"
    folder.mkdir()
    opened = await provider.open(SandboxSpec(workspace=folder, task_id="t", limits=LIMITS))
    script = """
import os, time
for _ in range(3000):
    os.mkdir("d" * 200); os.chdir("d" * 200)
for number in range(3):
    try: open(f"big{number}", "wb").write(b"x" * (30 << 20))
    except OSError: pass
    time.sleep(1)
time.sleep(20)
"""
    result = await python(opened, script, timeout_s=60)
    assert result.stopped_by in ("disk", "memory"), (result.exit_code, result.stderr[-300:])
    with suppress(PersevereError):
        await opened.collect()
    await opened.aclose()
    await asyncio.to_thread(shutil.rmtree, folder)
    assert not folder.exists()


@pytest.mark.parametrize("ending", ["done", "timeout", "cancelled", "closed"])
async def test_nothing_outlives_its_command(isolated: Sandbox | None, ending: str) -> None:
    if isolated is None:
        return
    marker = f"3{os.getpid()}.{int(time.monotonic() * 1000)}"
    script = f"""
(setsid setsid sleep {marker} &) ; (nohup sleep {marker} >/dev/null 2>&1 &)
(trap '' TERM HUP INT; sleep {marker}) & python3 -c 'import os,time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0: os.execvp("sleep", ["sleep", "{marker}"])
    os._exit(0)' 2>/dev/null
echo "sleep {marker}" | at now 2>/dev/null; echo "* * * * * sleep {marker}" | crontab - 2>/dev/null
systemd-run --user sleep {marker} 2>/dev/null; systemd-run sleep {marker} 2>/dev/null
sleep 0.3; echo started; {"true" if ending == "done" else "sleep 60"}
"""
    started = asyncio.Event()

    async def sink(text: str) -> None:
        started.set()

    command = Command(argv=["/bin/sh", "-c", script], timeout_s=3 if ending == "timeout" else 60)
    running = asyncio.create_task(isolated.run(command, sink))
    await asyncio.wait_for(started.wait(), 30)
    if ending == "cancelled":
        running.cancel()
    if ending == "closed":
        await isolated.aclose()
    with suppress(asyncio.CancelledError, PersevereError):
        await running
    assert not alive(marker)


CALLS = """
import ctypes, errno, fcntl, os, signal, socket, struct
libc = ctypes.CDLL(None, use_errno=True)
libc.syscall.restype = ctypes.c_long
arm = os.uname().machine == "aarch64"
def call(name, x86, arm64, *arguments):
    values = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    if libc.syscall(ctypes.c_long(arm64 if arm else x86), *values) >= 0: print("allowed", name)
space = ctypes.create_string_buffer(256)
call("keyctl", 250, 219, 0, -3, 1)
call("add_key", 248, 217, b"user", b"persevere", b"x", 1, -3)
call("userfaultfd", 323, 282, 0)
call("bpf", 321, 280, 0, space, 120)
struct.pack_into("<IIQ", space, 0, 1, 112, 0)
call("perf_event_open", 298, 241, space, 0, -1, -1, 0)
call("unshare user", 272, 97, 0x10000000)
call("unshare mount", 272, 97, 0x20000)
call("setns", 308, 268, 0, 0)
call("mount", 165, 40, b"none", b"/tmp", b"tmpfs", 0, 0)
call("umount", 166, 39, b"/proc", 2)
call("pivot_root", 155, 41, b"/", b"/")
call("fsopen", 430, 430, b"tmpfs", 0)
call("open_tree", 428, 428, -100, b"/", 1)
call("open_by_handle_at", 304, 265, -100, space, 0)
call("init_module", 175, 105, space, 8, b"")
call("kexec_load", 246, 104, 0, 0, 0, 0)
call("reboot", 169, 142, 0xfee1dead, 672274793, 0, 0)
call("swapon", 167, 224, b"/tmp/x", 0)
call("acct", 163, 89, b"/tmp/x")
call("settimeofday", 164, 170, space, 0)
call("sethostname", 170, 161, b"evil", 4)
call("syslog", 103, 116, 2, space, 100)
call("io_uring_setup", 425, 425, 4, space)
call("ptrace host", 101, 117, 16, HOST, 0, 0)
call("process_vm_readv host", 310, 270, HOST, space, 1, space, 1, 0)
call("kill host", 62, 129, HOST, 0) if HOST_SEEN else None
call("quotactl", 179, 60, 0, 0, 0, space)
call("chroot", 161, 51, b"/tmp")
call("setuid 0", 105, 146, 0) if os.getuid() else None
for path in ("/proc/sysrq-trigger", "/proc/sys/kernel/core_pattern", "/proc/sys/vm/drop_caches", "/sys/kernel/uevent_helper",
             "/sys/fs/cgroup/cgroup.procs", "/dev/kmsg", f"/proc/{HOST}/mem", f"/proc/{HOST}/oom_score_adj"):
    try: os.close(os.open(path, os.O_WRONLY)); print("opened", path)
    except OSError: pass
for kind, number, name in ((0o060000, os.makedev(8, 0), "disk"), (0o020000, os.makedev(1, 1), "mem")):
    try: os.mknod(name, kind | 0o666, number); print("made", name); os.close(os.open(name, os.O_RDONLY)); print("opened", name)
    except OSError: pass
for terminal in (0, "/dev/tty", "/dev/console", "/dev/tty1"):
    try: fcntl.ioctl(terminal if terminal == 0 else os.open(terminal, os.O_RDWR), 0x5412, b"x"); print("TIOCSTI", terminal)
    except OSError: pass
for path in ("/etc/passwd", "/usr/bin/env", "/proc/self/exe"):
    try: os.link(path, "hard", follow_symlinks=True); os.chmod("hard", 0o777); print("hard link", path)
    except OSError: pass
print("done")
"""


async def test_calls_that_open_walls_are_refused(isolated: Sandbox | None, victim: subprocess.Popen[bytes]) -> None:
    if isolated is None:
        return
    # Where process ids are one's own, the host's mean nothing; where they are shared, its processes must be out of reach.
    seen = isolated.provider == "landlock"
    result = await python(isolated, CALLS.replace("HOST_SEEN", str(seen)).replace("HOST", str(victim.pid if seen else 999_999)))
    assert result.stdout.splitlines()[-1:] == ["done"], (result.exit_code, result.stdout, result.stderr)
    allowed = [line for line in result.stdout.splitlines() if line not in ("done", "made disk", "made mem")]
    assert allowed == []
    assert victim.poll() is None


async def test_signals_do_not_reach_the_host(isolated: Sandbox | None, victim: subprocess.Popen[bytes]) -> None:
    if isolated is None:
        return
    await shell(isolated, f"kill -9 {victim.pid} {os.getpid()}; kill -9 -1; true", timeout_s=10)
    assert victim.poll() is None
    assert signal.getsignal(signal.SIGTERM) is not None
