"""Pull requests are listed to the user whose tasks made them."""

from __future__ import annotations

from pathlib import Path

from agent_orchestrator.resources import Resources
from shared.store import pull_requests
from shared.store.records import PullRequest
from shared.types import new_id
from tests.agent_orchestrator.http_server import insert_task, run_server


async def insert_pull(resources: Resources, repo: Path, user_id: str) -> str:
    task = await insert_task(resources, repo, user_id=user_id)
    commit = "0" * 40
    pull = PullRequest(
        id=new_id("pr"),
        number=0,
        repo=str(repo),
        branch=f"persevere/{task.id}",
        base_branch="main",
        base_commit=commit,
        head_commit=commit,
        title="t",
        body="b",
        draft=False,
        state="open",
        task_id=task.id,
    )
    async with resources.database.transaction() as tx:
        return (await pull_requests.open(tx, pull)).id


async def test_the_pull_requests_of_others_are_not_listed(resources: Resources, repository: Path) -> None:
    mine = [await insert_pull(resources, repository, "local") for _ in range(3)]
    theirs = await insert_pull(resources, repository, "somebody else")
    async with run_server(resources) as running, running.client() as client:
        first = (await client.get("/pulls", params={"limit": 2})).json()
        rest = (await client.get("/pulls", params={"limit": 2, "cursor": first["next_cursor"], "repo": str(repository)})).json()
        alien = await client.get(f"/pulls/{theirs}")
    assert [item["pull_id"] for item in first["items"] + rest["items"]] == mine[::-1]
    assert rest["next_cursor"] is None
    assert alien.status_code == 404
