"""Running one command to its end or to a limit, and ending its whole process tree: what every local sandbox shares."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from shared.errors import SandboxError
from shared.sandbox.cgroup import ControlGroup
from shared.sandbox.limits import HARD_OUTPUT_FACTOR, KeptOutput, build_decoder, combine, disk_usage
from shared.sandbox.port import Limits, OutputSink
from shared.sandbox.process_tree import descendants, tree_usage
from shared.types import CommandResult

StopReason = Literal["timeout", "memory", "output", "disk", "cancelled"]
_CHUNK = 65536
_GRACE_S = 10.0
_NEXT = "PERSEVERE_SANDBOX chooses another sandbox: auto, bubblewrap or landlock."


@dataclass
class Launch:
    """How to start: the outermost process and what it inherits.

    `inherited` are closed here once it runs. Closing `alive` makes a launcher end its tree. `status` is where bubblewrap writes JSON lines
    (child-pid, exit-code).
    """

    argv: Sequence[str]
    environment: dict[str, str]
    inherited: list[int] = field(default_factory=list)
    alive: int | None = None
    status: int | None = None

    def close(self) -> None:
        for descriptor in (*self.inherited, self.alive, self.status):
            if descriptor is not None:
                os.close(descriptor)
        self.inherited, self.alive, self.status = [], None, None


@dataclass
class Quota:
    """Folders that may not grow by more than `limit` bytes beyond `baseline`."""

    folders: Sequence[Path]
    baseline: int
    limit: int

    def exceeded(self) -> bool:
        return disk_usage(self.folders) - self.baseline >= self.limit


class Execution:
    """One command. `run()` once; `stop()` from anywhere ends it early."""

    def __init__(self, launch: Launch, limits: Limits, group: ControlGroup | None, quota: Quota, on_output: OutputSink | None) -> None:
        self._launch, self._limits, self._group, self._quota, self._on_output = launch, limits, group, quota, on_output
        self._stdout, self._stderr = KeptOutput(limits.output_bytes), KeptOutput(limits.output_bytes)
        self._stopped_by: StopReason | None = None
        self._stop = asyncio.Event()
        self._failure: Exception | None = None
        self._note = ""
        self._status_text = b""
        self._reports_status = launch.status is not None
        self._pid = 0

    def stop(self, reason: StopReason) -> None:
        if self._stopped_by is None and not self._stop.is_set():
            self._stopped_by = reason
        self._stop.set()

    def freeze(self) -> None:
        """Stop every process of the command where it is; its time limit runs on."""
        self._signal_all(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal_all(signal.SIGCONT)

    def _signal_all(self, number: signal.Signals) -> None:
        """To every process, until there are no more new ones: a process that was not reached may start others."""
        reached: set[int] = set()
        while fresh := (self._group.pids() if self._group is not None else descendants(self._pid)) - reached:
            for pid in fresh:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, number)
            reached |= fresh

    async def run(self, stdin: bytes, timeout_s: float) -> CommandResult:
        started = time.monotonic()
        async with contextlib.AsyncExitStack() as stack:
            stack.callback(self._launch.close)
            process, pumps = await self._start(stdin, stack)
            self._pid = process.pid
            watch = asyncio.create_task(self._watch(process.pid))
            try:
                await self._wait(process, timeout_s)
            except asyncio.CancelledError:
                self.stop("cancelled")
                raise
            finally:
                watch.cancel()
                await finish(self._end(process, pumps))
            status = self._read_status()
        return await self._result(process.returncode or 0, status, time.monotonic() - started)

    async def _start(self, stdin: bytes, stack: contextlib.AsyncExitStack) -> tuple[asyncio.subprocess.Process, list[asyncio.Task[None]]]:
        source = stack.enter_context(os.fdopen(_input_file(stdin), "rb", buffering=0))
        pumps: list[asyncio.Task[None]] = []
        writers = []
        for kept in (self._stdout, self._stderr):
            reading, writing = os.pipe()
            writers.append(stack.enter_context(os.fdopen(writing, "wb", buffering=0)))
            reader = asyncio.StreamReader(limit=_CHUNK)
            transport, _ = await asyncio.get_running_loop().connect_read_pipe(
                lambda reader=reader: asyncio.StreamReaderProtocol(reader),  # type: ignore[misc]
                os.fdopen(reading, "rb", buffering=0),
            )
            stack.callback(transport.close)
            pumps.append(asyncio.create_task(self._pump(reader, kept)))
        try:
            process = await asyncio.create_subprocess_exec(
                *self._launch.argv,
                stdin=source,
                stdout=writers[0],
                stderr=writers[1],
                env=self._launch.environment,
                cwd="/",
                pass_fds=self._launch.inherited,
                start_new_session=True,
            )
        except BaseException:
            for pump in pumps:
                pump.cancel()
            raise
        for writer in writers:
            writer.close()
        for descriptor in self._launch.inherited:
            os.close(descriptor)
        self._launch.inherited = []
        return process, pumps

    async def _wait(self, process: asyncio.subprocess.Process, timeout_s: float) -> None:
        waits = {asyncio.create_task(process.wait()), asyncio.create_task(self._stop.wait())}
        try:
            done, _ = await asyncio.wait(waits, timeout=max(timeout_s, 0), return_when=asyncio.FIRST_COMPLETED)
            if not done:
                self.stop("timeout")
        finally:
            for wait in waits:
                wait.cancel()

    async def _pump(self, reader: asyncio.StreamReader, kept: KeptOutput) -> None:
        decoder = build_decoder()
        while data := await reader.read(_CHUNK):
            kept.add(data)
            if self._stdout.total + self._stderr.total > self._limits.output_bytes * HARD_OUTPUT_FACTOR:
                self.stop("output")
            elif self._on_output is not None and self._failure is None and (text := decoder.decode(data)):
                try:
                    await self._on_output(text)
                except Exception as error:
                    self._failure = error
                    self._stop.set()

    async def _watch(self, pid: int) -> None:
        """Look for memory and disk until cancelled; a slow look at a big folder is taken less often."""
        next_look = time.monotonic() + 0.2
        while True:
            await asyncio.sleep(0.1)
            if self._group is not None:
                if self._group.oom_kills():
                    self.stop("memory")
            else:
                self._watch_tree(pid)
            if time.monotonic() >= next_look:
                before = time.monotonic()
                if await asyncio.to_thread(self._quota.exceeded):
                    self.stop("disk")
                next_look = time.monotonic() + max(0.3, 10 * (time.monotonic() - before))

    def _watch_tree(self, pid: int) -> None:
        processes, memory = tree_usage(pid)
        if memory > self._limits.memory_mb * 1024 * 1024:
            self.stop("memory")
        elif processes > self._limits.processes + 2:
            self._note = f"\nStopped: more than {self._limits.processes} processes.\n"
            self.stop("memory")

    async def _end(self, process: asyncio.subprocess.Process, pumps: list[asyncio.Task[None]]) -> None:
        """The tree is gone after this, and what it printed is read."""
        if self._group is not None:
            await self._group.kill_and_wait(_GRACE_S)
        elif self._launch.alive is not None:
            os.close(self._launch.alive)
            self._launch.alive = None
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), _GRACE_S)
        elif process.returncode is None:
            _kill(process.pid)
        try:
            await asyncio.wait_for(process.wait(), _GRACE_S)
        except TimeoutError:
            _kill(process.pid)
            await process.wait()
        if self._group is None:
            await self._wait_for_inner()
        _, late = await asyncio.wait(pumps, timeout=_GRACE_S)
        for pump in late:
            pump.cancel()

    async def _wait_for_inner(self) -> None:
        """Where there is no group: wait until the first process of the pid namespace, and so all of it, is gone."""
        pid = self._read_status().get("child-pid")
        end = time.monotonic() + _GRACE_S
        while isinstance(pid, int) and os.path.exists(f"/proc/{pid}") and time.monotonic() < end:
            await asyncio.sleep(0.002)

    def _read_status(self) -> dict[str, Any]:
        if self._launch.status is not None:
            os.set_blocking(self._launch.status, False)
            with contextlib.suppress(BlockingIOError):
                while data := os.read(self._launch.status, 4096):
                    self._status_text += data
        merged: dict[str, Any] = {}
        for line in self._status_text.splitlines():
            with contextlib.suppress(ValueError):
                merged.update(json.loads(line))
        return merged

    async def _result(self, code: int, status: dict[str, Any], duration_s: float) -> CommandResult:
        if self._failure is not None:
            raise self._failure
        if self._stopped_by is None and self._group is not None and self._group.oom_kills():
            self._stopped_by = "memory"
        if self._stopped_by is None and code != 0 and await asyncio.to_thread(self._quota.exceeded):
            self._stopped_by = "disk"
        stdout, stderr, truncated = combine(self._stdout, self._stderr, self._limits.output_bytes)
        if self._stopped_by is None and self._reports_status and "exit-code" not in status:
            raise SandboxError(
                f"The sandbox could not start: {stderr.strip()[-500:]}",
                "PERSEVERE_SANDBOX chooses another sandbox: auto, bubblewrap or landlock.",
            )
        exit_code = None if self._stopped_by else (code if code >= 0 else 128 - code)
        return CommandResult(
            exit_code=exit_code,
            stdout=stdout,
            stderr=stderr + self._note,
            duration_s=round(duration_s, 4),
            stopped_by=self._stopped_by,
            truncated=truncated,
        )


def _kill(pid: int) -> None:
    """Not `Process.kill`: that reaps the process behind the event loop's back and loses its exit code."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


async def finish(work: Coroutine[Any, Any, None]) -> None:
    """Wait for `work` to its end whatever cancellations arrive meanwhile; the cancellation is raised afterwards."""
    task = asyncio.create_task(work)
    cancelled = False
    while not task.done():
        try:
            await asyncio.shield(task)
        except asyncio.CancelledError:
            cancelled = True
    task.result()
    if cancelled:
        raise asyncio.CancelledError


def _input_file(data: bytes) -> int:
    """A descriptor to read `data` from: a file in memory, so that nothing has to be fed."""
    if not data:
        return os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    return memory_file(data)


def memory_file(data: bytes) -> int:
    """An anonymous file holding `data`, positioned at its start."""
    descriptor = os.memfd_create("persevere", os.MFD_CLOEXEC)
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
    os.lseek(descriptor, 0, os.SEEK_SET)
    return descriptor
