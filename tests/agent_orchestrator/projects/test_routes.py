"""Projects: made, changed, listed and forgotten."""

from __future__ import annotations

from pathlib import Path

from agent_orchestrator.resources import Resources
from tests.agent_orchestrator.http_server import run_server


async def test_a_project_from_its_making_to_its_end(resources: Resources, repository: Path) -> None:
    async with run_server(resources) as running, running.client() as client:
        made = await client.post("/projects", json={"name": "shop", "repo": str(repository)}, headers={"Idempotency-Key": "one"})
        again = await client.post("/projects", json={"name": "shop", "repo": str(repository)}, headers={"Idempotency-Key": "one"})
        assert (made.status_code, again.json()) == (201, made.json()), made.text
        path = f"/projects/{made.json()['project_id']}"
        changed = await client.patch(path, json={"name": "store"})
        refused = await client.patch(path, json={"name": None})
        branch = await client.patch(path, json={"default_branch": "no-such-branch"})
        body = {"prompt": "rename load_conf to load_config", "repo": str(repository), "project_id": made.json()["project_id"]}
        task = (await client.post("/tasks", json=body)).json()
        listed = (await client.get("/projects")).json()["items"]
        tasks = (await client.get(f"{path}/tasks")).json()["items"]
        known = (await client.get("/repositories")).json()["items"]
        nowhere = await client.post("/projects", json={"name": "x", "repo": "/no/such"})
        deleted, gone = await client.delete(path), await client.get(path)
    assert (changed.json()["name"], refused.status_code, branch.status_code) == ("store", 422, 422)
    assert [item["name"] for item in listed] == ["store"]
    assert [item["task_id"] for item in tasks] == [task["task_id"]]
    assert [item["repo"] for item in known] == [str(repository)]
    assert (nowhere.status_code, deleted.status_code, gone.status_code) == (422, 204, 404)
