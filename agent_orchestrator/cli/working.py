"""A worker of its own: says when it is ready, drains when it is told to stop, and says so."""

from __future__ import annotations

import asyncio
import signal
import time
from collections.abc import Callable
from typing import Protocol

from agent_orchestrator.resources import Resources, open_resources
from config.settings import Settings

SIGNALS = ("SIGTERM", "SIGINT", "SIGHUP")


class Tell(Protocol):
    """Says one thing to the operator: a sentence, and the same as facts for `--json`."""

    def __call__(self, sentence: str, **facts: object) -> None: ...


async def work_until_stopped(settings: Settings, tell: Tell) -> None:
    """Serve runs until the first signal, then drain; a second one interrupts what still runs. A signal while it starts ends it at once."""
    told = Signals()
    with told:
        serving = asyncio.create_task(_serve(settings, told, tell))
        starting = asyncio.create_task(told.stop.wait())
        try:
            await asyncio.wait([serving, starting], return_when=asyncio.FIRST_COMPLETED)
            if told.resources is None:
                serving.cancel()
            await asyncio.wait([serving])
        finally:
            starting.cancel()
        if not serving.cancelled():
            serving.result()


async def _serve(settings: Settings, told: Signals, tell: Tell) -> None:
    async with open_resources(settings, worker=True) as resources:
        told.resources = resources
        tell(
            f"Working on {settings.worker_concurrency} runs at a time. Ctrl-C hands over and ends.",
            type="ready",
            worker=resources.jobs.manager.name,
            host=resources.jobs.manager.host,
            concurrency=settings.worker_concurrency,
        )
        await told.stop.wait()
        began, running = time.monotonic(), resources.worker.running if resources.worker else 0
    handed_over, took = resources.jobs.handed_over, time.monotonic() - began
    ended = max(running - handed_over, 0)
    tell(
        f"Drained in {took:.1f} s: {ended} ended, {handed_over} handed over.",
        type="drained",
        ended=ended,
        handed_over=handed_over,
        seconds=round(took, 3),
    )


class Signals:
    """The signals that end a worker, while it is open. The first sets `stop`, a later one cuts the drain short."""

    def __init__(self) -> None:
        self.stop = asyncio.Event()
        self.resources: Resources | None = None

    def __enter__(self) -> Signals:
        self._each(lambda loop, number: loop.add_signal_handler(number, self._on_signal))
        return self

    def __exit__(self, *_: object) -> None:
        self._each(lambda loop, number: loop.remove_signal_handler(number))

    def _on_signal(self) -> None:
        if self.stop.is_set() and self.resources is not None and self.resources.worker is not None:
            self.resources.worker.cut()
        self.stop.set()

    @staticmethod
    def _each(do: Callable[[asyncio.AbstractEventLoop, int], object]) -> None:
        for name in SIGNALS:
            if hasattr(signal, name):
                do(asyncio.get_running_loop(), getattr(signal, name))
