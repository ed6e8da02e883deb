"""What must be true of a task however often its process died: one story, one branch, one pull request, nothing left behind."""

from __future__ import annotations

import asyncio
import os
import re
import subprocess
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.effects import ledger
from shared.events import store as events_store
from shared.store import approvals, audit, pull_requests, tasks
from shared.store.database import open_database
from shared.store.embedded import open_embedded_postgres
from tests.chaos.scenario import USER, Ordeal

_VARIES = re.compile(r"\b[0-9a-f]{12,64}\b|\btask_\w+|\d+(\.\d+)? s\b")


@dataclass(frozen=True)
class Story:
    """What a task left, without ids and times."""

    ended: tuple[str, str | None]
    events: tuple[tuple[str, str, str], ...]
    approvals: tuple[tuple[str, int, str], ...]
    effects: tuple[tuple[str, str], ...]
    tree: str
    faults: tuple[str, ...] = ()


def read_story(ordeal: Ordeal) -> Story:
    return asyncio.run(_read(ordeal))


async def _read(ordeal: Ordeal) -> Story:
    async with AsyncExitStack() as stack:
        url = ordeal.database_url
        if url is None:
            url = await stack.enter_async_context(open_embedded_postgres(ordeal.data_dir))
        database = await stack.enter_async_context(open_database(url))
        tx = await stack.enter_async_context(database.connection())
        (task, *others), _ = await tasks.list_(tx, user_id=USER, limit=5)
        events = await events_store.read(tx, task.id)
        pulls, _ = await pull_requests.list_(tx, str(ordeal.repository))
        asked = await approvals.for_task(tx, task.id)
        chain = await audit.verify(tx)
        effects = await ledger.for_task(tx, task.id)
    branches = _git(ordeal.repository, "branch", "--list", "persevere/*", "--format=%(refname:short)").split()
    wrong = {
        f"{len(others)} more tasks": bool(others),
        "events have gaps": [event.seq for event in events] != list(range(1, len(events) + 1)),
        f"branches {branches}, the task's is {task.branch}": branches != [task.branch],
        f"{len(pulls)} pull requests": len(pulls) != 1,
        "the audit chain is broken": not chain.ok,
        f"left running: {_alive(ordeal.data_dir)}": bool(_alive(ordeal.data_dir)),
        f"left lying: {_workspaces(ordeal.data_dir)}": bool(_workspaces(ordeal.data_dir)),
        "the working tree was touched": bool(_git(ordeal.repository, "status", "--porcelain")),
    }
    return Story(
        ended=(task.status.value, task.outcome),
        # What a call of a model used is told with its answer, in one moment: an answer that was lost was not told.
        events=tuple((event.type, event.stage.value, _words(event.type, event.data)) for event in events),
        approvals=tuple(sorted((approval.gate.value, approval.revision, approval.status.value) for approval in asked)),
        effects=tuple(sorted((effect.kind, effect.state) for effect in effects)),
        tree=_git(ordeal.repository, "rev-parse", f"{branches[0]}^{{tree}}").strip() if branches else "",
        faults=tuple(what for what, is_so in wrong.items() if is_so),
    )


def _words(type_: str, data: dict[str, Any]) -> str:
    if type_ == "usage":
        return f"{data['total']['calls']} calls, {data['total']['tokens']} tokens"
    said = {"log": "message", "status_update": "details", "task_completed": "outcome", "approval_decided": "decision"}
    return _VARIES.sub("…", str(data.get(said.get(type_, ""), "")))


def _git(repository: Path, *argv: str) -> str:
    return subprocess.run(["git", *argv], cwd=repository, check=True, capture_output=True, text=True).stdout


def _alive(data_dir: Path) -> list[str]:
    """Processes that work in the folder."""
    found = []
    for process in Path("/proc").iterdir():
        if not process.name.isdigit() or int(process.name) == os.getpid():
            continue
        try:
            words = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            folder = os.readlink(process / "cwd")
        except OSError:
            continue
        if str(data_dir) in words or folder.startswith(str(data_dir)):
            found.append(words)
    return found


def _workspaces(data_dir: Path) -> list[str]:
    return [str(path.relative_to(data_dir)) for path in (data_dir / "workspaces").glob("*/*/*")]
