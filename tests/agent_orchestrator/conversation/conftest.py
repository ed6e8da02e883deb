"""A conversation over a real database, the real recipe book and real git repositories."""

from __future__ import annotations

import subprocess
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from agent_orchestrator.approvals.service import ApprovalService
from agent_orchestrator.conversation.service import ChatAnswer, ChatTurn, Conversation
from agent_orchestrator.resources import Resources, open_resources
from agent_orchestrator.tasks.service import TaskService
from config.settings import Settings
from shared.store import approvals
from shared.store.records import Approval
from shared.types import Gate, Risk, new_id

CONFIG = 'commands:\n  deploy:\n    run: [./deploy.sh, "{target}"]\n    targets: [orchestrator, worker]\n'


class Chat:
    """A person who talks about one repository."""

    def __init__(self, resources: Resources, repo: Path) -> None:
        self.resources, self.repo = resources, repo
        self.conversation = Conversation(resources, TaskService(resources), ApprovalService(resources))

    async def say(self, message: str, session: str | None = "s1", *, repo: Path | str | None = None, user: str = "local") -> ChatAnswer:
        context = {"repo": str(self.repo if repo is None else repo)} if repo != "" else {}
        return await self.conversation.turn(ChatTurn(message, user, session, context))

    async def ask_approval(self, task_id: str, gate: Gate = Gate.PLAN) -> Approval:
        approval = Approval(
            id=new_id("appr"), task_id=task_id, gate=gate, title="Rename", subject={"plan": {}}, risk=Risk(), content_sha256="0" * 64
        )
        async with self.resources.database.transaction() as tx:
            return await approvals.insert(tx, approval)

    async def approval(self, id: str) -> Approval:
        async with self.resources.database.connection() as connection:
            found = await approvals.get(connection, id)
        assert found is not None
        return found


@pytest.fixture
def make_repo(tmp_path: Path) -> Callable[..., Path]:
    def make(name: str = "shop", config: str | None = CONFIG) -> Path:
        repo = tmp_path / name
        (repo / "migrations").mkdir(parents=True)
        (repo / "app.py").write_text("def load_conf():\n    return 1\n")
        (repo / "migrations" / "0001_start.sql").write_text("select 1;\n")
        if config is not None:
            (repo / ".persevere.yml").write_text(config)
        git = ["git", "-C", str(repo), "-c", "user.name=T", "-c", "user.email=t@localhost"]
        for arguments in (["init", "-q", "-b", "main"], ["add", "-A"], ["commit", "-q", "-m", "start"]):
            subprocess.run([*git, *arguments], check=True)
        return repo

    return make


@pytest.fixture
async def chat(tmp_path: Path, postgres_url: str, make_repo: Callable[..., Path]) -> AsyncIterator[Chat]:
    settings = Settings(data_dir=tmp_path / "data", database_url=postgres_url)
    async with open_resources(settings, worker=False) as resources:
        yield Chat(resources, make_repo())
