"""Sessions, messages, projects and pull requests."""

from __future__ import annotations

import asyncio

import pytest

from shared.errors import NotFoundError
from shared.store import projects, pull_requests, sessions, tasks
from shared.store.database import Database
from shared.store.records import Message, Project, PullRequest, Session, Task
from shared.types import new_id, utcnow


def _message(session: Session, content: str) -> Message:
    return Message(id=new_id("message"), session_id=session.id, role="user", content=content)


async def test_messages_come_in_order(database: Database) -> None:
    session = Session(id=new_id("session"), user_id="ann")
    async with database.transaction() as tx:
        await sessions.insert(tx, session)
        for start in range(0, 10, 2):
            await sessions.add_messages(tx, [_message(session, str(start)), _message(session, str(start + 1))])
        last = await sessions.messages(tx, session.id, limit=4)
        assert [one.content for one in last] == ["6", "7", "8", "9"]
        earlier = await sessions.messages(tx, session.id, limit=4, before=last[0].id)
        assert [one.content for one in earlier] == ["2", "3", "4", "5"]
        changed = await sessions.update(tx, session.id, draft={"a": 1})
        assert (changed.draft, (await sessions.update(tx, session.id, draft=None)).draft) == ({"a": 1}, None)
        assert await sessions.delete(tx, session.id)
        assert await sessions.get(tx, session.id) is None
        assert await sessions.messages(tx, session.id) == []


async def test_turns_of_a_session_wait_for_one_another(database: Database) -> None:
    session = Session(id=new_id("session"), user_id="ann", context={"n": 0})
    async with database.transaction() as tx:
        await sessions.insert(tx, session)

    async def turn() -> None:
        async with database.transaction() as tx:
            held = await sessions.lock(tx, session.id)
            assert held is not None
            await sessions.update(tx, session.id, context={"n": held.context["n"] + 1})

    await asyncio.gather(*(turn() for _ in range(10)))
    async with database.connection() as tx:
        stored = await sessions.get(tx, session.id)
    assert stored is not None
    assert stored.context == {"n": 10}


async def test_a_session_begins_once(database: Database) -> None:
    session = Session(id=new_id("session"), user_id="ann")

    async def begin() -> bool:
        async with database.transaction() as tx:
            return await sessions.begin(tx, session)

    assert sorted(await asyncio.gather(*(begin() for _ in range(4)))) == [False, False, False, True]


async def test_a_turn_is_recorded_whole_or_not_at_all(database: Database) -> None:
    session = Session(id=new_id("session"), user_id="ann", title="first", context={"repo": "/r"})
    after = session.model_copy(update={"draft": {"text": "t\x00"}, "context": {"repo": "/s"}, "updated_at": utcnow()})
    said, answered = _message(session, "said"), Message(id="m", session_id=session.id, role="assistant", content="a", metadata={"n": [1]})
    async with database.transaction() as tx:
        assert await sessions.begin(tx, session)
        await sessions.record_turn(tx, after, said, answered)
        assert await sessions.messages(tx, session.id) == [said, answered]
        assert await sessions.get(tx, session.id) == after.model_copy(update={"draft": {"text": "t\ufffd"}})
        await sessions.record_turn(tx, session, _message(session, "more"), answered.model_copy(update={"id": "n"}))
        assert await sessions.get(tx, session.id) == session
        await sessions.delete(tx, session.id)
    with pytest.raises(NotFoundError):
        async with database.transaction() as tx:
            await sessions.record_turn(tx, after, said, answered)


async def test_projects(database: Database) -> None:
    async with database.transaction() as tx:
        project = await projects.insert(tx, Project(id=new_id("project"), user_id="ann", name="n", repo="/r"))
        await sessions.insert(tx, Session(id="session_1", user_id="ann", project_id=project.id))
        assert await projects.by_repo(tx, "ann", "/r") == project
        assert (await projects.update(tx, project.id, name="m")).name == "m"
        assert len((await projects.list_(tx, "ann", limit=10, cursor=None))[0]) == 1
        assert len((await sessions.list_(tx, "ann", project_id=project.id, limit=10, cursor=None))[0]) == 1
        assert await projects.delete(tx, project.id)
        session = await sessions.get(tx, "session_1")
        assert session is not None
        assert session.project_id is None


async def test_pull_requests_are_numbered_and_opened_once(database: Database) -> None:
    owners = [Task(id=new_id("task"), user_id="ann", title="t", prompt="p", repo="/r") for _ in range(5)]
    async with database.transaction() as tx:
        for task in owners:
            await tasks.insert(tx, task)

    async def open_one(task: Task, repo: str = "/r") -> PullRequest:
        asked = {"branch": f"b-{repo}", "base_branch": "main", "base_commit": "0", "head_commit": "1", "title": "t", "body": "b"}
        record = PullRequest.model_validate({"id": new_id("pr"), "number": 0, "repo": repo, "task_id": task.id, **asked})
        async with database.transaction() as tx:
            return await pull_requests.open(tx, record)

    opened = await asyncio.gather(*(open_one(task) for task in (*owners, *owners)))
    assert sorted({one.number for one in opened}) == [1, 2, 3, 4, 5]
    assert len({one.id for one in opened}) == 5
    assert (await open_one(owners[0], "/other")).number == 1
    async with database.connection() as tx:
        found, cursor = await pull_requests.list_(tx, "/r", limit=3)
        rest, _ = await pull_requests.list_(tx, "/r", limit=3, cursor=cursor)
        assert len({one.id for one in (*found, *rest)}) == 5
        assert await pull_requests.by_task(tx, owners[1].id) == await pull_requests.get(tx, opened[1].id)
