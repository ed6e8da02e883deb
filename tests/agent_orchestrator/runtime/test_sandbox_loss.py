"""A sandbox that goes away in the midst of the work: the work goes on in another."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from agent_orchestrator.resources import Resources
from shared.errors import SandboxGoneError, SandboxUnreachableError
from shared.events import store as events_store
from shared.sandbox.bubblewrap import BubblewrapProvider
from shared.sandbox.port import Sandbox, SandboxSpec
from shared.types import TaskStatus
from tests.agent_orchestrator.runtime.driving import approve_all, submit


class Failing(BubblewrapProvider):
    """The first sandboxes for the change cannot be kept."""

    def __init__(self, *errors: Exception) -> None:
        super().__init__()
        self.errors = list(errors)
        self.opened: list[str] = []

    async def open(self, spec: SandboxSpec) -> Sandbox:
        self.opened.append(spec.labels["workspace"])
        if spec.labels["workspace"] == "code" and self.errors:
            raise self.errors.pop(0)
        return await super().open(spec)


@pytest.fixture
def failing() -> Failing:
    if shutil.which("bwrap") is None:
        pytest.skip("install bubblewrap: apt-get install bubblewrap")
    return Failing(SandboxGoneError("The sandbox is gone."), SandboxUnreachableError("The sandbox's provider does not answer."))


async def test_the_work_goes_on_in_another_sandbox(working: Resources, repository: Path, failing: Failing) -> None:
    working._provider = failing
    task = await submit(working, repository)
    done, asked = await approve_all(working, task.id)
    assert (done.status, done.outcome) == (TaskStatus.COMPLETED, "pull_request"), done.error
    assert [approval.gate.value for approval in asked] == ["plan", "diff"]
    assert (failing.opened.count("plan"), failing.opened.count("code"), failing.errors) == (1, 3, [])
    async with working.database.connection() as connection:
        events = await events_store.read(connection, task.id)
    said = [event.data["message"] for event in events if event.type == "log" and event.data["level"] == "warning"]
    assert [text.partition(".")[0] for text in said] == ["The sandbox is gone", "The sandbox's provider does not answer"]
