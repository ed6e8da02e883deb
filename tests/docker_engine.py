"""A Docker engine of the tests' own: started on a socket in a short folder, with the sandbox image made without pulling anything."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_ROOT = Path("/var/tmp/persevere-engines")
_SCRIPT = Path(__file__).parent.parent / "support/scripts/sandbox_image.sh"
_START_S = 60


class NoEngineError(Exception):
    """Why there can be none here, and what would change that."""


@dataclass
class RunningEngine:
    """A dockerd of ours. `kill` and `start` as trouble for it; containers outlive it (live-restore)."""

    folder: Path
    process: subprocess.Popen[bytes] | None = None

    @property
    def host(self) -> str:
        return f"unix://{self.folder}/docker.sock"

    def start(self) -> None:
        configuration = self.folder / "daemon.json"
        runsc = shutil.which("runsc")
        runtimes = {"runsc": {"path": runsc, "runtimeArgs": ["--network=none"]}} if runsc else {}
        configuration.write_text(json.dumps({"live-restore": True, "runtimes": runtimes}))
        argv = ["dockerd", "--config-file", str(configuration), "--iptables=false", "--ip6tables=false", "--bridge=none"]
        argv += ["--data-root", f"{self.folder}/root", "--exec-root", f"{self.folder}/exec", "-H", self.host]
        argv += ["-p", f"{self.folder}/docker.pid"]
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True)
        self._wait()

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        self._signal(signal.SIGKILL)
        if self.process is not None:
            self.process.wait()
        end_left(self.folder)

    def stop(self) -> None:
        """End it with everything that runs in it."""
        if self.process is None:
            return
        with contextlib.suppress(ProcessLookupError, subprocess.SubprocessError):
            self.thaw()
            self.remove_containers()
        self.process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(30)
        end_left(self.folder)

    def remove_containers(self) -> None:
        if found := self.docker("ps", "-aq").split():
            self.docker("rm", "-f", *found, check=False)

    def docker(self, *arguments: str, timeout: float = 120, check: bool = True) -> str:
        done = subprocess.run(
            ["docker", "-H", self.host, *arguments],
            capture_output=True,
            text=True,
            timeout=timeout,
            check=check,
            env={"PATH": os.environ["PATH"]},
        )
        return done.stdout

    def _signal(self, number: signal.Signals) -> None:
        if self.process is not None:
            os.kill(self.process.pid, number)

    def _wait(self) -> None:
        end = time.monotonic() + _START_S
        while True:
            with contextlib.suppress(subprocess.SubprocessError):
                self.docker("version", timeout=10)
                return
            if time.monotonic() > end or (self.process is not None and self.process.poll() is not None):
                raise NoEngineError(f"dockerd does not start here: {(self.folder / 'log').read_text()[-400:]}")
            time.sleep(0.1)


@contextlib.contextmanager
def open_engine() -> Iterator[RunningEngine]:
    """In the first folder that no other run of the tests uses; what a killed run left there ends first. NoEngineError if none can be."""
    if os.geteuid() != 0:
        raise NoEngineError("run the tests as root: dockerd needs it")
    for program, package in (("dockerd", "docker.io"), ("docker", "docker.io"), ("debootstrap", "debootstrap")):
        if shutil.which(program) is None:
            raise NoEngineError(f"install {program}: apt-get install {package}")
    with _take_folder() as folder:
        end_left(folder)
        engine = RunningEngine(folder)
        try:
            engine.start()
            engine.remove_containers()
            _make_image(engine)
            yield engine
        finally:
            engine.stop()


@contextlib.contextmanager
def _take_folder() -> Iterator[Path]:
    number = 0
    while True:
        number += 1
        folder = _ROOT / str(number)
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / "lock", "w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue
            os.set_inheritable(lock.fileno(), False)
            yield folder
            return


def _make_image(engine: RunningEngine) -> None:
    done = subprocess.run(
        [str(_SCRIPT)], capture_output=True, text=True, timeout=900, check=False, env={**os.environ, "DOCKER_HOST": engine.host}
    )
    if done.returncode != 0:
        raise NoEngineError(f"the sandbox image cannot be made: {done.stderr[-400:]}")


def end_left(folder: Path) -> None:
    """End the dockerd and containerd that an earlier run left in this folder. Its containers go on: the next dockerd removes them."""
    for _ in range(100):
        left = [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _is_left(pid, str(folder).encode())]
        if not left:
            break
        for pid in left:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    for file in ("docker.pid", "exec/containerd/containerd.pid"):
        (folder / file).unlink(missing_ok=True)


def _is_left(pid: int, folder: bytes) -> bool:
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return False
    return words[0].rpartition(b"/")[2] in (b"dockerd", b"containerd") and any(word.startswith(folder + b"/") for word in words)
