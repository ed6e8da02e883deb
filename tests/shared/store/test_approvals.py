"""Approvals: of many who decide at once, one does."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest
from sqlalchemy.exc import IntegrityError

from shared.store import approvals, tasks
from shared.store.database import Database
from shared.store.records import Approval, Task
from shared.types import ApprovalStatus, Gate, Risk, canonical_json, new_id, sha256_hex, utcnow

SUBJECT = {"b": 1e20, "a": [1.0, "é", {"z": -0.0, "y": None}]}


@pytest.fixture
async def task_id(database: Database) -> str:
    task = Task(id=new_id("task"), user_id="ann", title="t", prompt="p", repo="/r")
    async with database.transaction() as tx:
        await tasks.insert(tx, task)
    return task.id


def _approval(task_id: str, **more: object) -> Approval:
    hashed = sha256_hex(canonical_json(SUBJECT))
    values = {"id": new_id("approval"), "task_id": task_id, "gate": Gate.PLAN, "title": "t", "subject": SUBJECT, "risk": Risk()}
    return Approval.model_validate({**values, "content_sha256": hashed, **more})


async def _insert(database: Database, *asked: Approval) -> None:
    async with database.transaction() as tx:
        for one in asked:
            await approvals.insert(tx, one)


async def _decide(database: Database, id: str, revision: int = 1, to: ApprovalStatus = ApprovalStatus.APPROVED) -> Approval | None:
    async with database.transaction() as tx:
        return await approvals.decide(tx, id, revision=revision, to_status=to, decision={"by": "ann"}, vote={"by": "ann"})


async def test_one_of_many_decides(database: Database, task_id: str) -> None:
    asked = _approval(task_id)
    await _insert(database, asked)
    decided = [one for one in await asyncio.gather(*(_decide(database, asked.id) for _ in range(10))) if one]
    assert len(decided) == 1
    assert decided[0].status is ApprovalStatus.APPROVED
    assert decided[0].votes == [{"by": "ann"}]
    assert decided[0].decision == {"by": "ann"}


async def test_what_was_asked_hashes_the_same_when_read_back(database: Database, task_id: str) -> None:
    asked = _approval(task_id)
    await _insert(database, asked)
    async with database.connection() as tx:
        stored = await approvals.get(tx, asked.id)
    assert stored is not None
    assert sha256_hex(canonical_json(stored.subject)) == asked.content_sha256


async def test_another_revision_or_an_expired_one_is_not_decided(database: Database, task_id: str) -> None:
    past = utcnow() - timedelta(seconds=1)
    asked, late = _approval(task_id), _approval(task_id, gate=Gate.DIFF, expires_at=past)
    await _insert(database, asked, late)
    assert await _decide(database, asked.id, revision=2) is None
    assert await _decide(database, late.id) is None
    async with database.transaction() as tx:
        assert [one.id for one in await approvals.expired(tx)] == [late.id]
    assert await _decide(database, late.id, to=ApprovalStatus.EXPIRED) is not None


async def test_votes_are_added_while_more_are_needed(database: Database, task_id: str) -> None:
    asked = _approval(task_id)
    await _insert(database, asked)
    first = await _decide(database, asked.id, to=ApprovalStatus.PENDING)
    second = await _decide(database, asked.id)
    assert first is not None
    assert (first.status, first.decision, len(first.votes)) == (ApprovalStatus.PENDING, None, 1)
    assert second is not None
    assert (second.status, len(second.votes)) == (ApprovalStatus.APPROVED, 2)


async def test_one_pending_approval_of_a_gate(database: Database, task_id: str) -> None:
    await _insert(database, _approval(task_id))
    with pytest.raises(IntegrityError):
        await _insert(database, _approval(task_id, revision=2))
    async with database.transaction() as tx:
        assert await approvals.close_pending(tx, task_id, ApprovalStatus.SUPERSEDED) == 1
        assert await approvals.pending_for_task(tx, task_id) is None
    await _insert(database, _approval(task_id, revision=2))


async def test_pending_first_then_newest_over_pages(database: Database, task_id: str) -> None:
    now = utcnow()
    gates, closed = list(Gate)[:3], ApprovalStatus.REJECTED
    pending = [_approval(task_id, gate=gate, created_at=now - timedelta(hours=2, minutes=n)) for n, gate in enumerate(gates)]
    decided = [_approval(task_id, status=closed, created_at=now - timedelta(minutes=n)) for n in range(4)]
    await _insert(database, *decided, *pending)
    seen, cursor = [], None
    async with database.connection() as tx:
        while True:
            found, cursor = await approvals.list_(tx, user_id="ann", limit=2, cursor=cursor)
            seen += [one.id for one in found]
            if cursor is None:
                break
        assert seen == [one.id for one in (*pending, *decided)]
        assert await approvals.list_(tx, user_id="bob") == ([], None)
