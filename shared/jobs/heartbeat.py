"""A worker's sign of life, on a thread of its own, and the watch over its event loop."""

from __future__ import annotations

import asyncio
import faulthandler
import logging
import os
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass

import psycopg

from shared.store.database import CONNECTION

log = logging.getLogger(__name__)

EXIT_HUNG = 75
"""The exit code of a process whose event loop hung: a temporary failure, start it again."""
_BEAT = """INSERT INTO procrastinate_workers (id, last_heartbeat) OVERRIDING SYSTEM VALUE VALUES (%s, now())
ON CONFLICT (id) DO UPDATE SET last_heartbeat = excluded.last_heartbeat"""


@dataclass(frozen=True)
class Patience:
    """Seconds. After `silent_s` of a hung loop no heartbeat is sent, so that others take over; after `end_s` the process ends."""

    every_s: float = 2.0
    silent_s: float = 30.0
    end_s: float = 90.0


def end_process() -> None:
    """End at once with `EXIT_HUNG`: nothing that needs the event loop can be waited for. Runs go on elsewhere, or at the next start."""
    sys.stderr.write("Persevere's event loop has hung; this process ends itself. Start it again: its tasks go on.\n")
    sys.stderr.flush()
    os._exit(EXIT_HUNG)


class Heartbeat(threading.Thread):
    """Keeps the worker's row alive however long the loop is blocked, up to `Patience.silent_s`. Ends with `stop()`.

    Counts its own waking turns, not the clock: a process that was stopped as a whole has no hung loop when it goes on.
    """

    def __init__(
        self,
        conninfo: str,
        worker_id: Callable[[], int | None],
        loop: asyncio.AbstractEventLoop,
        patience: Patience,
        on_hung: Callable[[], None] = end_process,
    ) -> None:
        super().__init__(name="persevere-heartbeat", daemon=True)
        self._conninfo, self._worker_id, self._loop, self._patience, self._on_hung = conninfo, worker_id, loop, patience, on_hung
        self._stopped, self._answered = threading.Event(), threading.Event()
        self._missed = 0

    def stop(self) -> None:
        self._stopped.set()

    @property
    def is_silent(self) -> bool:
        return self._missed * self._patience.every_s >= self._patience.silent_s

    def run(self) -> None:
        while not self._stopped.is_set():
            try:
                with psycopg.connect(self._conninfo, autocommit=True, application_name="persevere heartbeat", **CONNECTION) as connection:
                    while not self._stopped.is_set():
                        self._beat(connection)
                        self._turn()
            except psycopg.Error:
                self._turn()

    def _beat(self, connection: psycopg.Connection) -> None:
        worker_id = self._worker_id()
        if worker_id is not None and not self.is_silent:
            connection.execute(_BEAT, (worker_id,))

    def _turn(self) -> None:
        """Ask the loop for an answer, wait, and count what it misses."""
        self._answered.clear()
        try:
            self._loop.call_soon_threadsafe(self._answered.set)
        except RuntimeError:
            self._stopped.set()
            return
        if self._stopped.wait(self._patience.every_s) or self._answered.is_set():
            self._missed = 0
            return
        was_silent = self.is_silent
        self._missed += 1
        if self.is_silent and not was_silent:
            log.error("the event loop has not answered for %.0f s; others take over what this worker runs", self._patience.silent_s)
            faulthandler.dump_traceback(all_threads=True)
        if self._missed * self._patience.every_s >= self._patience.end_s:
            self._on_hung()
