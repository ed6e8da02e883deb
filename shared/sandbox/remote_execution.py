"""One command of a sandbox elsewhere, to its end or to a limit. The list of behaviours is the local one's (see `execution`)."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import Any

from shared.errors import PersevereError
from shared.sandbox.connection import Connection, Exchange, RunnerEndedError
from shared.sandbox.execution import StopReason, finish
from shared.sandbox.inside.frames import ERR, OUT
from shared.sandbox.limits import HARD_OUTPUT_FACTOR, KeptOutput, build_decoder, combine
from shared.sandbox.port import Limits, OutputSink
from shared.types import CommandResult

_ENDED_INSIDE = "\nThe command ended every process in the sandbox that it could reach.\n"


class RemoteExecution:
    """`run()` once; `stop()` from anywhere ends it early. Whatever happens, the tree inside is ended or known to be out of reach."""

    def __init__(self, connection: Connection, limits: Limits, on_output: OutputSink | None) -> None:
        self._connection, self._limits, self._on_output = connection, limits, on_output
        self._kept = {OUT: KeptOutput(limits.output_bytes), ERR: KeptOutput(limits.output_bytes)}
        self._decoders = {OUT: build_decoder(), ERR: build_decoder()}
        self._stopped_by: StopReason | None = None
        self._stop = asyncio.Event()
        self._failure: Exception | None = None

    def stop(self, reason: StopReason) -> None:
        if self._stopped_by is None and not self._stop.is_set():
            self._stopped_by = reason
        self._stop.set()

    async def run(self, spec: dict[str, Any], stdin: bytes, timeout_s: float) -> CommandResult:
        """`spec` as `inside.runner` takes it. The errors of the machine, or the sink's."""
        started = time.monotonic()
        result: dict[str, Any] = {}
        try:
            exchange = await self._open(spec)
            consumer = asyncio.create_task(self._consume(exchange, stdin))
            try:
                await self._wait(consumer, timeout_s)
            except asyncio.CancelledError:
                self.stop("cancelled")
                raise
            finally:
                await finish(self._end(exchange, consumer))
            await consumer
            result = exchange.result or {}
        except RunnerEndedError:
            result = {"exit": 137, "note": _ENDED_INSIDE}
        if self._failure is not None:
            raise self._failure
        return self._build(result, time.monotonic() - started)

    async def _open(self, spec: dict[str, Any]) -> Exchange:
        """A command that is cancelled while it is being asked for may have begun: it is ended too."""
        opening = asyncio.create_task(self._connection.open(spec))
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            await finish(self._withdraw(opening))
            raise

    async def _withdraw(self, opening: asyncio.Task[Exchange]) -> None:
        with contextlib.suppress(PersevereError):
            exchange = await opening
            await exchange.stop()
            async for _ in exchange.output():
                pass

    async def _wait(self, consumer: asyncio.Task[None], timeout_s: float) -> None:
        stopped = asyncio.create_task(self._stop.wait())
        try:
            done, _ = await asyncio.wait({consumer, stopped}, timeout=max(timeout_s, 0), return_when=asyncio.FIRST_COMPLETED)
            if not done:
                self.stop("timeout")
        finally:
            stopped.cancel()

    async def _end(self, exchange: Exchange, consumer: asyncio.Task[None]) -> None:
        """The runner's result comes after the last process of the tree is gone."""
        if not consumer.done():
            with contextlib.suppress(PersevereError):
                await exchange.stop()
        with contextlib.suppress(PersevereError):
            await consumer

    async def _consume(self, exchange: Exchange, stdin: bytes) -> None:
        feeder = asyncio.create_task(self._feed(exchange, stdin)) if stdin else None
        try:
            async for kind, data in exchange.output():
                if kind in self._kept:
                    await self._take(kind, data)
        finally:
            if feeder is not None:
                feeder.cancel()
                with contextlib.suppress(asyncio.CancelledError, PersevereError):
                    await feeder

    async def _feed(self, exchange: Exchange, stdin: bytes) -> None:
        await exchange.send(stdin)
        await exchange.end()

    async def _take(self, kind: bytes, data: bytes) -> None:
        self._kept[kind].add(data)
        if sum(kept.total for kept in self._kept.values()) > self._limits.output_bytes * HARD_OUTPUT_FACTOR:
            self.stop("output")
        elif self._on_output is not None and self._failure is None and (text := self._decoders[kind].decode(data)):
            try:
                await self._on_output(text)
            except Exception as error:
                self._failure = error
                self._stop.set()

    def _build(self, result: dict[str, Any], duration_s: float) -> CommandResult:
        stopped_by = self._stopped_by
        if stopped_by is None and result.get("stopped") in ("memory", "disk"):
            stopped_by = "memory" if result["stopped"] == "memory" else "disk"
        stdout, stderr, truncated = combine(self._kept[OUT], self._kept[ERR], self._limits.output_bytes)
        code = result.get("exit")
        return CommandResult(
            exit_code=None if stopped_by else code if isinstance(code, int) else 137,
            stdout=stdout,
            stderr=stderr + str(result.get("note") or ""),
            duration_s=round(duration_s, 4),
            stopped_by=stopped_by,
            truncated=truncated,
        )
