"""What a specialist gets: live handles that never enter the checkpointed state."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from shared.forge.port import Diff, Forge
from shared.models.port import ModelPort, Spend, Usage
from shared.recipes.port import RecipeBook, RecipeWorkspace
from shared.recipes.repository_config import RepositoryConfig
from shared.sandbox.port import Sandbox, System
from shared.store.records import Task
from shared.types import Json, Stage, TaskStatus


class OpenWorkspace(RecipeWorkspace, Protocol):
    """A checkout inside an open sandbox."""

    sandbox: Sandbox

    async def diff(self) -> Diff:
        """What was changed since the base commit."""


class Workspaces(Protocol):
    """Opens disposable workspaces of the task's repository: base commit plus patch, in a sandbox, removed at the end."""

    @property
    def system(self) -> System:
        """What the sandboxes run with."""

    def open(
        self, name: str, patch: bytes = b"", *, readable: Sequence[Path] = (), writable: Sequence[Path] = ()
    ) -> AbstractAsyncContextManager[OpenWorkspace]: ...


class Journal(Protocol):
    """The task's record. Every write is one transaction, checked against the run's fencing token."""

    async def log(self, stage: Stage, message: str, level: str = "info") -> None: ...

    async def event(self, stage: Stage, type: str, data: Json) -> None: ...

    async def update(
        self,
        stage: Stage,
        status: TaskStatus | None = None,
        *,
        events: list[tuple[str, Json]] | None = None,
        details: str = "",
        **fields: Any,
    ) -> None:
        """Change the task's row (any field of `Task`) with a `status_update` event and further `events` in one transaction.

        `details` is the sentence a watching person sees.
        """

    async def save_artifact(self, name: str, data: bytes, media_type: str = "text/plain") -> str:
        """Keep bytes under the task; the SHA-256."""

    async def load_artifact(self, name: str) -> bytes: ...

    async def drop_artifacts(self, begin: str, end: str) -> None:
        """Forget those whose names begin and end so."""


class EffectsLedger(Protocol):
    """Intent first, then the doing, then its result; a key that is done answers its result without doing it again."""

    async def intend(self, key: str, kind: str, intent: Json) -> Json | None:
        """Record the intent; the stored result when it was done before, else None."""

    async def done(self, key: str, result: Json) -> None: ...


class PullRequests(Protocol):
    """The forge's pull requests; opening the same one again answers the first."""

    async def open(
        self,
        *,
        repo: str,
        branch: str,
        base_branch: str | None,
        base_commit: str,
        head_commit: str,
        title: str,
        body: str,
        draft: bool,
    ) -> str:
        """The URL of the pull request."""


class Remarks(Protocol):
    """What people told the task while it ran."""

    async def all(self) -> list[str]:
        """Every remark so far, oldest first."""


@dataclass(frozen=True)
class Step:
    """One step of an agent's loop, so that the loop can go on after it: what was said in it, and what it left in the workspace.

    `messages` are langchain's, as plain data: those that came before an answer and the answer, or the answers of a round of tools.
    `patch` is the whole change since the base commit, where a command ran: it stands in place of all that was kept before it. `files` were
    written after it: path -> content, or None for one that was removed. `state` is what else the agent must know to go on.
    """

    messages: Sequence[Json]
    state: Json = field(default_factory=dict)
    files: Mapping[str, bytes | None] = field(default_factory=dict)
    patch: bytes | None = None


class StepLog(Protocol):
    """The steps of the piece of work that goes on, kept under the run's lease. A task has one piece at a time."""

    async def read(self, piece: str) -> list[Step]:
        """What was kept of this piece, in order; nothing when another piece was the last."""

    async def keep(self, piece: str, step: Step, *, used: Sequence[tuple[str, Usage]] = (), told: str = "") -> bool:
        """Keep a step, what its calls of models used [(model, usage)], and a line for those who watch: all of it at once or nothing.

        The first step of a piece takes the place of what was kept of another. False when the piece has become too big: what was used and
        the line are in the record, but this step and later ones are not kept.
        """

    async def forget(self) -> None:
        """The piece has ended, and its result is kept elsewhere."""


@dataclass(frozen=True)
class Equipment:
    """A prepared test environment: host folders to show, variables, and folders of the repository for PYTHONPATH.

    `said` tells a model in a sentence how the tests are run, or what is missing.
    """

    readable: Sequence[Path] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    python_path: Sequence[str] = ()
    said: str = ""

    def variables(self, root: str) -> dict[str, str]:
        """The environment of commands in a workspace at `root`."""
        path = ":".join(f"{root}/{folder}" for folder in self.python_path)
        return {**self.environment, **({"PYTHONPATH": path} if path else {})}


@dataclass(frozen=True)
class TaskContext:
    task: Task
    config: RepositoryConfig
    recipes: RecipeBook
    workspaces: Workspaces
    forge: Forge
    journal: Journal
    effects: EffectsLedger
    pull_requests: PullRequests
    limits: Json
    """The workflow's limits: `test_timeout_s`, `setup_timeout_s`, `repairs`."""
    environments: Path
    """Root folder of cached dependency environments, shared by all tasks."""
    isolated: bool
    """False in the plain-process sandbox: a model runs no commands there, and a diff is approved before its tests run."""
    may_change: bool = True
    """False for a kind of work that only reports."""
    models: ModelPort | None = None
    """The task's model; None: recipes only."""
    spend: Spend | None = None
    """The task's budget; given whenever `models` is."""
    steps: StepLog | None = None
    """Given whenever `models` is."""
    remarks: Remarks | None = None
    equip: Callable[[TaskContext], Awaitable[Equipment]] | None = None
    """Prepares the repository's test environment for a model's own commands; None: they have the bare sandbox."""
