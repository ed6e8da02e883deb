"""Reading the events of many tasks with one statement."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby

from sqlalchemy import text

from shared.errors import UnavailableError
from shared.store.database import Database
from shared.store.records import Event

FINAL = "task_completed"
OUTAGE_S = 1.0
_BYTES = 1_000_000
_TOGETHER = 8
_SHORTEST, _LONGEST = 50, 500
_PAGES = text(
    "SELECT w.n, t.event_count, e.seq, e.type, e.stage, e.data, e.created_at "
    "FROM unnest(CAST(:tasks AS text[]), CAST(:afters AS bigint[])) WITH ORDINALITY AS w(task_id, after, n) "
    "JOIN tasks t ON t.id = w.task_id LEFT JOIN LATERAL ("
    "SELECT p.*, sum(pg_column_size(p.data)) OVER (ORDER BY p.seq) - pg_column_size(p.data) AS before FROM ("
    "SELECT seq, type, stage, data, created_at FROM events WHERE task_id = w.task_id AND seq > w.after ORDER BY seq LIMIT :most"
    ") p) e ON e.before < :bytes ORDER BY w.n, e.seq"
)


@dataclass(frozen=True, slots=True)
class Page:
    """Events that follow one another. `last` is the number up to which all is known; `is_whole`: there was no more at that moment."""

    events: Sequence[Event]
    last: int
    is_whole: bool

    @property
    def is_final(self) -> bool:
        """Whether the task had ended."""
        return self.is_whole and bool(self.events) and self.events[-1].type == FINAL


async def read_pages(database: Database, wanted: Sequence[tuple[str, int]], most: int) -> list[Page | None]:
    """For each (task, after) at most `most` events with `seq > after`, about a megabyte at most; None where there is no such task."""
    given = {"tasks": [task for task, _ in wanted], "afters": [after for _, after in wanted], "most": most, "bytes": _BYTES}
    async with database.connection() as tx:
        rows = (await tx.execute(_PAGES, given)).all()
    pages: list[Page | None] = [None] * len(wanted)
    for number, group in groupby(rows, key=lambda row: row[0]):
        task_id, after = wanted[number - 1]
        found = list(group)
        count = found[0][1]
        events = [
            Event(task_id=task_id, seq=seq, type=type_, stage=stage, data=data, created_at=created_at)
            for _, _, seq, type_, stage, data, created_at in found
            if seq is not None
        ]
        last = events[-1].seq if events else min(after, count)
        pages[number - 1] = Page(events, last, not events or last >= count)
    return pages


class PageReader:
    """Answers requests for pages, several with one statement and equal ones once. A caller that gives up disturbs no query."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._wanted: dict[tuple[str, int], list[asyncio.Future[Page | None]]] = {}
        self._news = asyncio.Event()

    def ask(self, task_id: str, after: int, answer: asyncio.Future[Page | None]) -> None:
        """Put the next page into `answer`, unless it is done by then; None when there is no such task."""
        self._wanted.setdefault((task_id, after), []).append(answer)
        self._news.set()

    async def run(self) -> None:
        """Answer until cancelled. While the database is away the requests wait."""
        while True:
            await self._news.wait()
            self._wanted = {key: answers for key, answers in self._wanted.items() if not all(answer.done() for answer in answers)}
            together = list(self._wanted)[:_TOGETHER]
            if not together:
                self._news.clear()
                continue
            try:
                pages = await read_pages(self._database, together, max(_SHORTEST, _LONGEST // len(together)))
            except UnavailableError:
                await asyncio.sleep(OUTAGE_S)
                continue
            except Exception as error:  # theirs, not ours: the next ones are answered all the same
                for answer in self._answers(together):
                    answer.set_exception(error)
                continue
            for key, page in zip(together, pages, strict=True):
                for answer in self._answers([key]):
                    answer.set_result(page)

    def _answers(self, keys: Sequence[tuple[str, int]]) -> list[asyncio.Future[Page | None]]:
        """Those who still wait for one of `keys`, which are wanted no more."""
        return [answer for key in keys for answer in self._wanted.pop(key) if not answer.done()]
