"""A task that no recipe can do, from its words to its pull request, with a scripted model on a real repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent_orchestrator.resources import Resources
from shared.errors import PersevereError
from shared.events import store as events_store
from shared.types import TaskStatus
from tests.agent_orchestrator.conftest import git
from tests.agent_orchestrator.runtime.driving import approve_all, decide, ended, submit, waiting
from tests.agents.scripted_model import call, plan, say, script

PROMPT = "Make load_conf strip white space"


async def test_plan_work_repair_and_pull_request(working: Resources, repository: Path) -> None:
    working.models = model = script(
        call("search", pattern="def load_conf"),
        plan("Strip white space in load_conf", "app.py", tests=["python -m unittest"]),
        call("read_file", path="app.py"),
        call("edit_file", path="app.py", old="    return path.upper()\n", new="    return path.strip()\n"),
        say("load_conf strips now."),
        call("edit_file", path="app.py", old="path.strip()", new="path.strip().upper()"),
        say("It keeps the upper case again."),
    )
    task = await submit(working, repository, PROMPT, "feature_dev")
    done, asked = await approve_all(working, task.id)
    assert (done.status, done.outcome, done.error) == (TaskStatus.COMPLETED, "pull_request", None)
    assert [approval.gate.value for approval in asked] == ["plan", "diff"]
    assert "path.strip().upper()" in git(repository, "show", f"{done.branch}:app.py")
    assert done.test_results is not None
    assert done.test_results.verdict == "passed"
    told = await _told(working, task.id)
    assert told.count("plan_ready") == 1
    assert told.count("diff_ready") == 2
    assert told.count("test_results") == 2
    repair = str(model.seen[5][-1].content)
    assert "test_load" in repair
    assert "'a' != 'A'" in repair


async def _told(resources: Resources, task_id: str) -> list[str]:
    async with resources.database.connection() as connection:
        return [event.type for event in await events_store.read(connection, task_id)]
