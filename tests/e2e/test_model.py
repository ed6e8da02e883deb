"""A task from the chat to the pull request with a model: every provider's real client, its protocol on loopback, a real repository."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from agent_orchestrator.approvals.service import ApprovalService
from agent_orchestrator.conversation.service import ChatTurn, Conversation
from agent_orchestrator.resources import Resources, open_resources
from agent_orchestrator.tasks.service import TaskService
from config.settings import load_settings
from shared.store import approvals
from shared.store.records import Approval, Task
from shared.types import TaskStatus
from tests.e2e.conftest import MakeRepository, git, task_branches
from tests.shared.models.conftest import KEY, STAND_INS
from tests.stand_ins.script import Answer, Call, Say, serving

SOURCE = "def load_conf(path):\n    return path.upper()\n"
TESTS = """import unittest

from app import load_conf


class LoadTest(unittest.TestCase):
    def test_load(self):
        self.assertEqual(load_conf("a"), "A")
"""
REQUEST = "Add handling of white space around the path to load_conf"
PLAN = {
    "summary": "Strip white space from the path in load_conf",
    "steps": [{"title": "Strip the path", "files": ["app.py"]}],
    "acceptance_criteria": ["a path with white space around it is read"],
}
NOTE = {"severity": "note", "file": "app.py", "line": 2, "comment": "The path of a file may end with a space."}
REVIEW = {"verdict": "looks_good", "summary": "It strips the path and keeps its case.", "comments": [NOTE]}
SCRIPT: list[Say] = [
    Answer(("Let me look. ",), (Call("search", {"pattern": "load_conf"}), Call("read_file", {"path": "app.py"}))),
    Answer(calls=(Call("DraftPlan", PLAN),)),
    Answer(calls=(Call("read_file", {"path": "app.py"}),)),
    Answer(calls=(Call("edit_file", {"path": "app.py", "old": "path.upper()", "new": "path.strip()"}),)),
    Answer(calls=(Call("run_command", {"command": "python3 -m unittest -q test_app"}),)),
    Answer(("The path is ", "stripped.")),
    Answer(calls=(Call("edit_file", {"path": "app.py", "old": "path.strip()", "new": "path.strip().upper()"}),)),
    Answer(("It is upper case again.",)),
    Answer(calls=(Call("read_file", {"path": "app.py"}),)),
    Answer(calls=(Call("DraftReview", REVIEW),)),
]


async def finish(resources: Resources, task_id: str) -> tuple[Task, list[Approval]]:
    asked: list[Approval] = []
    async with asyncio.timeout(120):
        while True:
            async with resources.database.connection() as connection:
                pending = await approvals.pending_for_task(connection, task_id)
            if pending is not None:
                asked.append(pending)
                await ApprovalService(resources).decide(pending.id, by="local", decision="approve", revision=pending.revision)
            task = await TaskService(resources).get(task_id, "local")
            if task.status.is_final:
                return task, asked
            await asyncio.sleep(0.05)


@pytest.mark.parametrize("provider", STAND_INS)
async def test_from_the_chat_to_the_pull_request(provider: str, tmp_path: Path, postgres_url: str, make_repository: MakeRepository) -> None:
    repository = make_repository({"app.py": SOURCE, "test_app.py": TESTS})
    kind, key, url = STAND_INS[provider]
    async with serving(kind(KEY)) as stand_in:
        stand_in.say(*SCRIPT)
        environment = {
            key: KEY,
            url: stand_in.base_url,
            "PERSEVERE_MODEL": f"{provider}:big",
            "PERSEVERE_DATA_DIR": str(tmp_path / "data"),
            "DATABASE_URL": postgres_url,
        }
        async with open_resources(load_settings(environment), worker=True) as resources:
            conversation = Conversation(resources, TaskService(resources), ApprovalService(resources))
            answer = await conversation.turn(ChatTurn(message=REQUEST, user_id="local", context={"repo": str(repository)}))
            assert answer.task_id is not None, answer
            task, asked = await finish(resources, answer.task_id)
    assert (task.status, task.outcome, task.error) == (TaskStatus.COMPLETED, "pull_request", None)
    assert [approval.gate.value for approval in asked] == ["plan", "diff"]
    assert asked[-1].subject["review"]["comments"] == [{**NOTE, "suggestion": ""}]
    assert task.plan is not None
    assert task.plan.summary == PLAN["summary"]
    assert task.test_results is not None
    assert task.test_results.verdict == "passed"
    assert (task.cost["tokens"], task.cost["calls"]) == (len(SCRIPT) * 120, len(SCRIPT))
    assert task_branches(repository) == [task.branch]
    assert "path.strip().upper()" in git(repository, "show", f"{task.branch}:app.py")
    sent = str(stand_in.bodies)
    assert "FAILED (failures=1)" in str(stand_in.bodies[5])
    assert "test_load" in str(stand_in.bodies[6])
    assert KEY not in sent
