"""The embedded PostgreSQL server: ours, in the data folder, shared by the processes of one user, stopped with the last of them."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path

from shared.errors import PersevereError, SettingsError, UnavailableError

_SETUP_TIMEOUT_S = 180.0
_WATCH_INTERVAL_S = 1.0


@asynccontextmanager
async def open_embedded_postgres(data_dir: Path) -> AsyncIterator[str]:
    """The URL of the running server's application role; starts the server, or makes it first, when it is not there.

    While this is open the server is started again if it is killed. `SettingsError` when PostgreSQL is not installed,
    `UnavailableError` when it does not start; both in one sentence with what to do.
    """
    use = _Use(data_dir)
    taking = asyncio.create_task(asyncio.to_thread(use.take))
    try:
        url = await asyncio.shield(taking)
        watching = asyncio.create_task(_watch(use))
        try:
            yield url
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
    finally:
        await _finish(taking, use)


async def _finish(taking: asyncio.Task[str], use: _Use) -> None:
    """Let go of the server even when we are cancelled: a lock left held would keep it running for nobody."""

    async def leave() -> None:
        await asyncio.wait([taking])
        if not taking.cancelled():
            taking.exception()
        await asyncio.to_thread(use.leave)

    leaving = asyncio.create_task(leave())
    try:
        await asyncio.shield(leaving)
    except asyncio.CancelledError:
        await asyncio.wait([leaving])
        raise


async def _watch(use: _Use) -> None:
    while True:
        await asyncio.sleep(_WATCH_INTERVAL_S)
        with suppress(PersevereError, OSError):
            await asyncio.shield(asyncio.to_thread(use.revive))


class _Use:
    """One user of the server: a shared lock on `users.lock`. Starting and stopping happen under `setup.lock`."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._held: int | None = None

    def take(self) -> str:
        try:
            import fcntl
        except ImportError as error:
            raise SettingsError("The embedded database does not work on this system.", "Set DATABASE_URL.") from error
        from shared.store import postgres_cluster as cluster
        from shared.store.postgres_places import find_places

        self._places = find_places(self._data_dir)
        with _locked(self._places.own / "setup.lock"):
            self._held = os.open(self._places.own / "users.lock", os.O_RDWR | os.O_CREAT, 0o600)
            fcntl.flock(self._held, fcntl.LOCK_SH)
            self._ensure_running()
            return cluster.address(self._places)

    def _ensure_running(self) -> None:
        from shared.store import postgres_cluster as cluster

        places = self._places
        if places.cluster.exists():
            cluster.restore_password(places)
            if cluster.answers(places):
                return
            if cluster.server_pid(places) is not None:
                if cluster.comes_up(places):
                    return
                cluster.stop(places)
        else:
            cluster.remove_orphans(places)
            cluster.make(places)
        cluster.start(places)

    def revive(self) -> None:
        """Start the server again if its process is gone."""
        from shared.store import postgres_cluster as cluster

        if cluster.server_pid(self._places) is None:
            with _locked(self._places.own / "setup.lock"):
                self._ensure_running()

    def leave(self) -> None:
        """Let go; the last one stops the server."""
        import fcntl

        from shared.store import postgres_cluster as cluster

        if self._held is None:
            return
        held, self._held = self._held, None
        try:
            with _locked(self._places.own / "setup.lock"):
                try:
                    fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return
                cluster.stop(self._places)
        finally:
            os.close(held)


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold the lock file alone; `UnavailableError` after three minutes."""
    import fcntl

    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        deadline = time.monotonic() + _SETUP_TIMEOUT_S
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise UnavailableError(
                        "Another process has been starting the embedded database for three minutes.", f"End the process that holds {path}."
                    ) from None
                time.sleep(0.02)
        yield
    finally:
        os.close(descriptor)
