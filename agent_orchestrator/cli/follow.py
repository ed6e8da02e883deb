"""Follows one task to its end or to a question nobody here answers."""

from __future__ import annotations

from contextlib import aclosing
from typing import Any

from agent_orchestrator.cli.client import Client, RemoteError
from agent_orchestrator.cli.commands import FAILED, OK
from agent_orchestrator.cli.deciders import Decider
from agent_orchestrator.cli.views import View
from shared.types import Json


async def follow_task(client: Client, view: View, decider: Decider, task_id: str, *, quiet_until: int = 0) -> int:
    """Show events and answer gates; the exit code. Events up to `quiet_until` were seen before and are not shown again."""
    ending: Json | None = None
    stream: Any = client.follow(task_id)
    try:
        async with aclosing(stream):
            async for event in stream:
                ending = event if event["type"] == "task_completed" else None
                if event["seq"] > quiet_until:
                    view.event(event)
                if event["type"] != "approval_required":
                    continue
                waiting = await _answer(client, view, decider, event["approval"])
                if waiting is not None:
                    view.waiting(await client.get(f"/tasks/{task_id}"), waiting)
                    return FAILED
    finally:
        view.pause()
    task = await client.get(f"/tasks/{task_id}")
    view.result(task, ending)
    return OK if task["status"] == "completed" else FAILED


async def _answer(client: Client, view: View, decider: Decider, asked: Json) -> Json | None:
    """Decide what is still pending; the approval that is left waiting, if it is."""
    approval_id = asked.get("approval_id") or asked["id"]
    approval = await client.get(f"/approvals/{approval_id}")
    if approval["status"] != "pending":
        return None
    view.pause()
    choice = await decider.decide(approval, view)
    if choice is None:
        return dict(approval)
    body = {"decision": choice.decision, "revision": approval["revision"], "comment": choice.comment}
    try:
        decided = await client.post(f"/approvals/{approval_id}/decision", body)
    except RemoteError as error:
        if error.status != 409:
            raise
        view.note(f"{error.message} Someone else was faster; following what they decided.")
    else:
        view.decided(dict(decided), choice.told)
    return None
