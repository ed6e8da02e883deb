"""Announcements over PostgreSQL's LISTEN: what `append` notifies is heard once it is committed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import psycopg

from shared.events.store import CHANNEL

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.1, 5.0
_logger = logging.getLogger(__name__)


class PostgresAnnouncements:
    """One LISTEN connection of its own; connects again with a growing pause."""

    def __init__(self, conninfo: str) -> None:
        self._conninfo = conninfo

    async def listen(self, heard: Callable[[str, int], None], listening: Callable[[bool], None]) -> None:
        pause = _FIRST_PAUSE_S
        while True:
            try:
                connection = await psycopg.AsyncConnection.connect(
                    self._conninfo, autocommit=True, connect_timeout=10, application_name="persevere feed"
                )
                async with connection:
                    await connection.execute(f"LISTEN {CHANNEL}")
                    pause = _FIRST_PAUSE_S
                    listening(True)
                    async for notice in connection.notifies():
                        task_id, _, seq = notice.payload.rpartition(":")
                        heard(task_id, int(seq))
            except psycopg.OperationalError as error:
                _logger.warning("the event feed lost its connection and tries again: %s", type(error).__name__)
            finally:
                listening(False)
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_S)
