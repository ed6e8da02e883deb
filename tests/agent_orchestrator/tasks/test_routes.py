"""Tasks over a real socket: made once, followed without a gap or a repeat."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import httpx_sse
import pytest
from sqlalchemy import text

from agent_orchestrator.resources import Resources
from shared.store import tasks
from shared.store.records import Task
from tests.agent_orchestrator.http_server import Running, append_logs, finish_task, insert_task, run_server


@pytest.fixture
async def running(resources: Resources) -> AsyncIterator[Running]:
    async with run_server(resources) as server:
        yield server


@pytest.fixture
async def task(resources: Resources, repository: Path) -> Task:
    return await insert_task(resources, repository)


async def receive(client: httpx.AsyncClient, task: Task, seen: list[int], *, until: int | None, headers: dict[str, str]) -> None:
    """Take events, then cut the connection after `until` of them, or stay to the end."""
    async with httpx_sse.aconnect_sse(client, "GET", f"/tasks/{task.id}/events", headers=headers) as source:
        async for event in source.aiter_sse():
            assert event.json()["seq"] == int(event.id)
            assert event.json()["type"] == event.event
            seen.append(int(event.id))
            if until is not None and len(seen) >= until:
                return


async def test_a_cut_stream_is_resumed_without_gap_or_repeat(resources: Resources, running: Running, task: Task) -> None:
    async def write() -> None:
        for batch in range(20):
            await append_logs(resources, task.id, 10, batch * 10)
            await asyncio.sleep(0.01)
        await finish_task(resources, task.id)

    seen: list[int] = []
    writing = asyncio.create_task(write())
    for until in (1, 35, 90, None):
        headers = {"Last-Event-ID": str(seen[-1])} if seen else {}
        async with running.client() as client:
            async with asyncio.timeout(20):
                await receive(client, task, seen, until=until, headers=headers)
    await writing
    assert seen == list(range(1, 202))


async def test_resuming_after_the_end_ends_at_once(resources: Resources, running: Running, task: Task) -> None:
    await finish_task(resources, task.id)
    async with running.client() as client, asyncio.timeout(5):
        seen: list[int] = []
        await receive(client, task, seen, until=None, headers={"Last-Event-ID": "1"})
    assert seen == []


async def test_a_stopping_server_ends_its_streams(resources: Resources, running: Running, task: Task) -> None:
    await append_logs(resources, task.id, 1)
    seen: list[int] = []
    async with running.client() as client:
        following = asyncio.create_task(receive(client, task, seen, until=None, headers={}))
        while not seen:
            await asyncio.sleep(0.01)
        async with asyncio.timeout(5):
            await running.stop()
            await following
    assert seen == [1]


async def test_streams_hold_no_connection(resources: Resources, running: Running, task: Task) -> None:
    """More streams than the pool has connections, and requests are still answered."""
    await append_logs(resources, task.id, 1)
    seen: list[list[int]] = [[] for _ in range(resources.settings.database_pool * 3)]
    async with running.client(limits=httpx.Limits(max_connections=None)) as client:
        following = [asyncio.create_task(receive(client, task, one, until=None, headers={})) for one in seen]
        while not all(seen):
            await asyncio.sleep(0.05)
        assert (await client.get(f"/tasks/{task.id}")).status_code == 200
        assert f"sse_streams_active {float(len(seen))}" in (await client.get("/metrics")).text
        await finish_task(resources, task.id)
        async with asyncio.timeout(10):
            await asyncio.gather(*following)
    assert all(one == [1, 2] for one in seen)


async def test_events_as_a_list(resources: Resources, running: Running, task: Task) -> None:
    await append_logs(resources, task.id, 5)
    async with running.client() as client:
        first = (await client.get(f"/tasks/{task.id}/events", params={"limit": 3})).json()
        rest = (await client.get(f"/tasks/{task.id}/events", params={"limit": 3, "after": first["next_cursor"]})).json()
        wrong = await client.get(f"/tasks/{task.id}/events", headers={"Last-Event-ID": "x"})
    assert [item["seq"] for item in first["items"] + rest["items"]] == [1, 2, 3, 4, 5]
    assert rest["next_cursor"] is None
    assert (wrong.status_code, wrong.json()["code"]) == (422, "invalid_event_id")


async def test_one_key_makes_one_task_however_many_ask_at_once(resources: Resources, running: Running, repository: Path) -> None:
    body = {"prompt": "rename load_conf to load_config", "repo": str(repository)}
    async with running.client(headers=None) as client:
        client.headers["Authorization"] = running.client().headers["Authorization"]
        answers = await asyncio.gather(*(client.post("/tasks", json=body, headers={"Idempotency-Key": "k"}) for _ in range(10)))
        again = await client.post("/tasks", json=body, headers={"Idempotency-Key": "k"})
        other = await client.post("/tasks", json=body | {"title": "other"}, headers={"Idempotency-Key": "k"})
        failed = await client.post("/tasks", json=body | {"repo": "/no"}, headers={"Idempotency-Key": "f"})
        mended = await client.post("/tasks", json=body, headers={"Idempotency-Key": "f"})
    made = {answer.json()["task_id"] for answer in answers if answer.status_code == 202}
    assert {answer.status_code for answer in answers} <= {202, 409}
    assert made == {again.json()["task_id"]}
    assert again.headers["idempotency-replayed"] == "true"
    assert (other.status_code, other.json()["code"]) == (422, "idempotency_key_reused")
    assert (failed.status_code, mended.status_code) == (422, 202)
    async with resources.database.connection() as tx:
        assert len((await tasks.list_(tx))[0]) == 2


async def test_a_structured_task_is_listed_read_and_cancelled(running: Running, repository: Path) -> None:
    async with running.client() as client:
        made = await client.post("/orchestrate", json={"prompt": "rename load_conf to load_config", "repo": str(repository)})
        task_id = made.json()["task_id"]
        listed = (await client.get("/tasks", params={"status": "queued"})).json()["items"]
        none = (await client.get("/tasks", params={"status": "failed"})).json()["items"]
        told = await client.post(f"/tasks/{task_id}/messages", json={"message": "take care"})
        repositories = (await client.get("/repositories")).json()["items"]
        cancelled = await client.post(f"/tasks/{task_id}/cancel")
        again = await client.post(f"/tasks/{task_id}/cancel")
        audit = (await client.get(f"/tasks/{task_id}/audit")).json()["items"]
        missing = [(await client.get(f"/tasks/{task_id}/{part}")).json()["code"] for part in ("plan", "diff", "artifacts/x")]
        tests = (await client.get(f"/tasks/{task_id}/tests")).json()
    assert made.status_code == 202
    assert ([item["task_id"] for item in listed], none) == ([task_id], [])
    assert told.status_code == 200, told.text
    assert repositories[0]["repo"] == listed[0]["repo"]
    assert cancelled.json()["status"] == "cancelled"
    assert again.status_code == 409
    assert "task.created" in {entry["action"] for entry in audit}
    assert missing == ["no_plan", "no_diff", "not_found"]
    assert tests["results"] is None


async def test_the_diff_as_text_and_as_json(resources: Resources, running: Running, task: Task) -> None:
    patch = "--- a/é\n+++ b/é\n".encode()
    async with resources.database.transaction() as tx:
        await resources.artifacts.save(tx, task.id, "change.patch", patch, "text/x-diff")
        await resources.artifacts.save(tx, task.id, "page.html", b"<script>", "text/html")
    async with running.client() as client:
        text = await client.get(f"/tasks/{task.id}/diff")
        view = await client.get(f"/tasks/{task.id}/diff", headers={"Accept": "application/json"})
        page = await client.get(f"/tasks/{task.id}/artifacts/page.html")
        names = (await client.get(f"/tasks/{task.id}/artifacts")).json()["items"]
    assert (text.content, text.headers["content-type"]) == (patch, "text/x-diff; charset=utf-8")
    assert view.json()["diff_text"] == patch.decode()
    assert page.headers["content-disposition"] == "attachment"
    assert "sandbox" in page.headers["content-security-policy"]
    assert [item["name"] for item in names] == ["change.patch", "page.html"]


async def test_a_repeated_message_to_a_task_is_told_once(resources: Resources, running: Running, task: Task) -> None:
    async with running.client() as client:
        path, headers = f"/tasks/{task.id}/messages", {"Idempotency-Key": "told"}
        first = await client.post(path, json={"message": "keep the old name"}, headers=headers)
        again = await client.post(path, json={"message": "keep the old name"}, headers=headers)
        other = await client.post(path, json={"message": "something else"}, headers=headers)
    assert (first.status_code, again.json(), other.status_code) == (200, first.json(), 422)
    assert len(await resources.feed.read(task.id, 0, 10)) == 1


async def test_a_batch_task_waits_behind_interactive_ones(resources: Resources, running: Running, repository: Path) -> None:
    body = {"prompt": "rename load_conf to load_config", "repo": str(repository)}
    async with running.client() as client:
        made = [(await client.post("/tasks", json=body | more)).json()["task_id"] for more in ({"priority": "batch"}, {})]
        refused = await client.post("/tasks", json=body | {"priority": "urgent"})
    async with resources.database.connection() as connection:
        found = await connection.execute(text("SELECT lock FROM procrastinate_jobs ORDER BY priority DESC, id"))
        assert list(found.scalars()) == [made[1], made[0]]
    assert refused.status_code == 422
