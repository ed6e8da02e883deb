"""A task's context on a real repository and a real sandbox; only the record of the task is kept in memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol, cast

import pytest

from agent_orchestrator.runtime.workspaces import TaskWorkspaces
from agents.context import TaskContext
from shared.forge.local import LocalForge
from shared.recipes.repository_config import parse_repository_config
from shared.sandbox.bubblewrap import BubblewrapProvider
from shared.sandbox.environment import host_system
from shared.sandbox.port import SandboxProvider
from shared.sandbox.process import ProcessProvider
from shared.store.records import Task
from tests.agent_orchestrator.conftest import git
from tests.agents.scripted_model import Free, MemorySteps, ScriptedModel
from tests.agents.tester.conftest import MemoryJournal


@dataclass
class Scene:
    context: TaskContext
    journal: MemoryJournal
    repository: Path

    @property
    def base(self) -> str:
        return cast(str, self.context.task.base_commit)

    def with_model(self, model: ScriptedModel, prompt: str = "do it", **request: Any) -> TaskContext:
        """For work that begins anew; replace `models` in it for one that goes on."""
        task = self.context.task.model_copy(update={"prompt": prompt, "request": request})
        return replace(self.context, models=model, task=task, steps=MemorySteps(Free(), self.journal.lines))


class MakeScene(Protocol):
    async def __call__(self, files: dict[str, str], links: dict[str, str] | None = None) -> Scene: ...


@pytest.fixture
def make_scene(tmp_path: Path) -> MakeScene:
    async def make(files: dict[str, str], links: dict[str, str] | None = None) -> Scene:
        repository = tmp_path / "repository"
        for path, text in files.items():
            (repository / path).parent.mkdir(parents=True, exist_ok=True)
            (repository / path).write_text(text)
            (repository / path).chmod(0o755 if text.startswith("#!") else 0o644)
        for path, target in (links or {}).items():
            (repository / path).symlink_to(target)
        git(repository, "init", "-q", "-b", "main")
        git(repository, "add", "-A")
        git(repository, "commit", "-q", "-m", "start")
        forge = LocalForge(tmp_path / "data")
        info = await forge.inspect(str(repository))
        task = Task(id="task_test", user_id="local", title="t", prompt="p", repo=info.repo, base_commit=info.head_commit)
        config = parse_repository_config(files.get(".persevere.yml", "").encode())
        provider: SandboxProvider = BubblewrapProvider()
        isolated = (await provider.probe()).works
        root = tmp_path / "rooms"
        root.mkdir()
        journal = MemoryJournal()
        unused: Any = None
        context = TaskContext(
            task=task,
            config=config,
            recipes=unused,
            workspaces=TaskWorkspaces(
                task_id=task.id,
                repo=task.repo,
                base_commit=info.head_commit,
                forge=forge,
                provider=provider if isolated else ProcessProvider(tmp_path / "data"),
                system=host_system(),
                config=config,
                root=root,
            ),
            forge=forge,
            journal=journal,
            effects=unused,
            pull_requests=unused,
            limits={},
            environments=tmp_path,
            isolated=isolated,
            spend=Free(),
            steps=MemorySteps(Free(), journal.lines),
        )
        return Scene(context, journal, repository)

    return make
