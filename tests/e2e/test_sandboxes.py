"""Whole tasks from the chat to the pull request in sandboxes elsewhere: a recipe's, and a model's of every provider."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from agent_orchestrator.approvals.service import ApprovalService
from agent_orchestrator.conversation.service import ChatTurn, Conversation
from agent_orchestrator.resources import Resources, open_resources
from agent_orchestrator.tasks.service import TaskService
from config.settings import load_settings
from shared.store.records import Task
from shared.types import TaskStatus
from tests.e2e.conftest import PROJECT, MakeRepository, git, task_branches
from tests.e2e.test_model import REQUEST, SCRIPT, SOURCE, TESTS, finish
from tests.shared.models.conftest import KEY, STAND_INS
from tests.stand_ins.e2b import open_e2b
from tests.stand_ins.e2b_machine import missing
from tests.stand_ins.script import serving

ELSEWHERE = ("docker", "e2b")
PAIRS = [
    pytest.param(sandbox, provider, marks=[] if (sandbox, provider) in (("docker", "anthropic"), ("e2b", "openai")) else pytest.mark.slow)
    for sandbox in ELSEWHERE
    for provider in STAND_INS
]


@contextmanager
def elsewhere(name: str, request: pytest.FixtureRequest, folder: Path) -> Iterator[dict[str, str]]:
    """The settings of a sandbox, which is there."""
    if name != "e2b":
        if name == "docker":
            request.getfixturevalue("docker_engine")
        yield {"PERSEVERE_SANDBOX": name}
        return
    if why := missing():
        pytest.skip(why)
    with open_e2b(folder / "e2b") as stand_in:
        yield {"PERSEVERE_SANDBOX": "e2b", "E2B_API_KEY": stand_in.key, "E2B_API_URL": stand_in.url, "E2B_SANDBOX_URL": stand_in.url}
        assert not stand_in.sandboxes, "a sandbox was left"


@asynccontextmanager
async def _working(settings: dict[str, str], folder: Path, url: str) -> AsyncIterator[Resources]:
    environment = {"PERSEVERE_DATA_DIR": str(folder / "data"), "DATABASE_URL": url, **settings}
    async with open_resources(load_settings(environment), worker=True) as resources:
        yield resources


async def _whole(resources: Resources, repository: Path, message: str) -> tuple[Task, list[str]]:
    conversation = Conversation(resources, TaskService(resources), ApprovalService(resources))
    answer = await conversation.turn(ChatTurn(message=message, user_id="local", context={"repo": str(repository)}))
    assert answer.task_id is not None, answer
    task, asked = await finish(resources, answer.task_id)
    return task, [approval.gate.value for approval in asked]


@pytest.mark.parametrize("name", ["landlock", *ELSEWHERE])
async def test_a_recipe(
    name: str, tmp_path: Path, postgres_url: str, make_repository: MakeRepository, request: pytest.FixtureRequest
) -> None:
    repository = make_repository(PROJECT)
    with elsewhere(name, request, tmp_path) as settings:
        async with _working(settings, tmp_path, postgres_url) as resources:
            task, asked = await _whole(resources, repository, "rename load_conf to load_config and keep the tests green")
    assert (task.status, task.outcome) == (TaskStatus.COMPLETED, "pull_request"), task.error
    assert asked == ["plan", "diff"]
    assert task.test_results is not None
    assert (task.test_results.verdict, task.test_results.passed) == ("passed", 1)
    changed = git(repository, "diff", "--name-only", f"main...{task.branch}").split()
    assert changed == ["app/settings.py", "tests/test_settings.py"]


@pytest.mark.packages
@pytest.mark.parametrize("name", ELSEWHERE)
async def test_packages_are_installed_by_the_registries_way(
    name: str, tmp_path: Path, postgres_url: str, make_repository: MakeRepository, request: pytest.FixtureRequest
) -> None:
    """The second task finds the environment that the first one's sandbox made."""
    tests = "import iniconfig\nfrom app.settings import load_conf\n\n\ndef test_path():\n    assert load_conf('x') == {'path': 'x'}\n"
    files = {**PROJECT, "tests/test_settings.py": tests, "requirements.txt": "iniconfig\npytest\n"}
    repository = make_repository(files)
    with elsewhere(name, request, tmp_path) as settings:
        async with _working(settings, tmp_path, postgres_url) as resources:
            for new in ("load_config", "read_config"):
                task, _ = await _whole(resources, repository, f"rename load_conf to {new}")
                assert (task.outcome, task.error) == ("pull_request", None), task.test_results
                assert task.test_results is not None
                assert (task.test_results.verdict, task.test_results.passed) == ("passed", 1)
    assert len(list((tmp_path / "data" / "environments").glob("*/complete"))) == 1


@pytest.mark.parametrize(("name", "provider"), PAIRS)
async def test_a_model(
    name: str, provider: str, tmp_path: Path, postgres_url: str, make_repository: MakeRepository, request: pytest.FixtureRequest
) -> None:
    repository = make_repository({"app.py": SOURCE, "test_app.py": TESTS})
    kind, key, url = STAND_INS[provider]
    with elsewhere(name, request, tmp_path) as settings:
        async with serving(kind(KEY)) as stand_in:
            stand_in.say(*SCRIPT)
            model = {key: KEY, url: stand_in.base_url, "PERSEVERE_MODEL": f"{provider}:big"}
            async with _working({**settings, **model}, tmp_path, postgres_url) as resources:
                task, asked = await _whole(resources, repository, REQUEST)
    assert (task.status, task.outcome) == (TaskStatus.COMPLETED, "pull_request"), task.error
    assert asked == ["plan", "diff"]
    assert task.test_results is not None
    assert task.test_results.verdict == "passed"
    assert task_branches(repository) == [task.branch]
    assert "path.strip().upper()" in git(repository, "show", f"{task.branch}:app.py")
    assert "FAILED (failures=1)" in str(stand_in.bodies[5])
