"""Tasks: pages without gaps, found by what people remember of an id."""

from __future__ import annotations

from datetime import timedelta

import pytest

from shared.errors import InvalidRequestError, NotFoundError
from shared.store import tasks
from shared.store.database import Database
from shared.store.records import Task
from shared.types import ErrorInfo, Plan, TaskStatus, new_id, utcnow


def _task(**more: object) -> Task:
    values = {"id": new_id("task"), "user_id": "ann", "title": "t", "prompt": "p", "repo": "/r"}
    return Task.model_validate({**values, **more})


async def test_round_trip_of_every_field(database: Database) -> None:
    full = _task(
        plan=Plan(summary="s"),
        error=ErrorInfo(code="c", message="m"),
        request={"a": [1, None]},
        diff_summary={"files": 1},
        finished_at=utcnow(),
    )
    async with database.transaction() as tx:
        await tasks.insert(tx, full)
        assert await tasks.get(tx, full.id) == full
        changed = await tasks.update(tx, full.id, status="coding", plan=None, error=ErrorInfo(code="d", message="\x00\ud800"))
        assert (changed.status, changed.plan) == (TaskStatus.CODING, None)
        assert changed.error == ErrorInfo(code="d", message="��")
        assert changed.updated_at > full.updated_at
        with pytest.raises(NotFoundError):
            await tasks.update(tx, "task_nobody", status="coding")
        with pytest.raises(TypeError):
            await tasks.update(tx, full.id, event_count=0)


async def test_pages_and_filters(database: Database) -> None:
    moment = utcnow()
    made = [_task(created_at=moment - timedelta(seconds=n // 2), status="failed" if n % 2 else "queued") for n in range(9)]
    async with database.transaction() as tx:
        for task in (*made, _task(user_id="bob")):
            await tasks.insert(tx, task)
        seen, cursor = [], None
        for _ in range(5):
            found, cursor = await tasks.list_(tx, user_id="ann", limit=2, cursor=cursor)
            seen += [task.id for task in found]
        assert cursor is None
        assert seen == [task.id for task in sorted(made, key=lambda task: (task.created_at, task.id), reverse=True)]
        assert len((await tasks.list_(tx, user_id="ann", status=TaskStatus.FAILED))[0]) == 4
        assert len((await tasks.list_(tx, status=["failed", "queued"]))[0]) == 10


@pytest.mark.parametrize("cursor", ["x", "e30", "WyJhIiwiYiJd", "é", "WyIyMDI2LTAxLTAxIiwiYSJd"])
async def test_a_wrong_cursor_is_refused(database: Database, cursor: str) -> None:
    async with database.connection() as tx:
        with pytest.raises(InvalidRequestError):
            await tasks.list_(tx, cursor=cursor)


async def test_found_by_id_start_or_end(database: Database) -> None:
    first, second = _task(id="task_abcd00001234"), _task(id="task_abcd00005678")
    async with database.transaction() as tx:
        await tasks.insert(tx, first)
        await tasks.insert(tx, second)
        for text in ("task_abcd00001234", " TASK_ABCD00001234", "abcd00001234", "abcd00001", "1234", "task_abcd00001"):
            assert [task.id for task in await tasks.find(tx, text, "ann")] == [first.id], text
        assert len(await tasks.find(tx, "abcd", "ann")) == 2
        for text in ("", "task_", "abc", "%%%%", "____", "\x00", "zzzz"):
            assert await tasks.find(tx, text, "ann") == [], text
        assert await tasks.find(tx, first.id, "bob") == []
