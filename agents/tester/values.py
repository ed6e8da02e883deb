"""What the tester passes from node to node: plain, bounded values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal

from pydantic import Field

from shared.types import TestFailure, Value

RunnerKind = Literal["pytest", "unittest", "tox", "node", "go", "cargo", "make", "shell"]
PYTHON = "python"
"""The name of a set-up's Python environment among what can fail to be installed."""
Outcome = Literal["green", "red", "broken", "none", "timeout"]


class TestCommand(Value):
    """One command to run. `argv[0]` may be `{python}`, which becomes the environment's interpreter."""

    __test__ = False
    kind: RunnerKind
    argv: list[str]
    cwd: str = "."

    @property
    def text(self) -> str:
        """The command as a person would type it."""
        words = self.argv[2:] if self.argv[:2] == ["/bin/sh", "-c"] else self.argv
        line = " ".join("python" if word == "{python}" else word for word in words)
        return line if self.cwd == "." else f"(in {self.cwd}) {line}"


class PythonNeeds(Value):
    """What to install for Python tests.

    `locked` are requirement lines with hashes; `editable` says that the project itself must be installed, with `backend` to build it.
    `scripts` are the commands it would install.
    """

    requirements: list[str] = Field(default_factory=list)
    locked: list[str] = Field(default_factory=list)
    editable: bool = False
    backend: list[str] = Field(default_factory=list)
    scripts: list[str] = Field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        return not (self.requirements or self.locked or self.editable)


class NodeNeeds(Value):
    """Node packages of one folder: `files` are copied beside each other before `argv` installs them."""

    cwd: str = "."
    argv: list[str]
    files: dict[str, str]
    in_place: bool = False

    @property
    def name(self) -> str:
        return f"node {self.cwd}"


class TestSetup(Value):
    """How a repository is tested. `setup` are the repository's own set-up commands, run in the workspace with the registries in reach."""

    __test__ = False
    commands: list[TestCommand]
    fallback: list[TestCommand] = Field(default_factory=list)
    setup: list[str] = Field(default_factory=list)
    python: PythonNeeds | None = None
    node: list[NodeNeeds] = Field(default_factory=list)
    python_path: list[str] = Field(default_factory=list)

    def needs_of(self, command: TestCommand) -> list[str]:
        """What must be installed for one command: `PYTHON` and folders of Node packages. A composed command may need everything."""
        composed = command.kind in ("make", "shell")
        python = [PYTHON] if self.python is not None and (composed or command.kind in ("pytest", "unittest", "tox")) else []
        return python + [needs.name for needs in self.node if composed or (command.kind == "node" and needs.cwd == command.cwd)]

    def blocked(self, command: TestCommand, failed: Mapping[str, str]) -> str:
        """Why a command cannot be run, given the reasons of what could not be installed; empty when it can."""
        return " ".join(dict.fromkeys(failed[name] for name in self.needs_of(command) if name in failed))


class CommandReport(Value):
    """What one test command did. `failures` is bounded to 500; counts are complete."""

    command: str
    outcome: Outcome
    passed: int = 0
    failed: int = 0
    skipped: int = 0
    duration_s: float = 0.0
    failures: list[TestFailure] = Field(default_factory=list)
    reason: str = ""


class NotRun(Value):
    """A command that could not be started beside others that were."""

    command: str
    reason: str

    @property
    def text(self) -> str:
        return f"`{self.command}` could not be run: {self.reason}"


class RunReport(Value):
    """All commands of one workspace; the outcome is the worst of those that were run."""

    reports: list[CommandReport] = Field(default_factory=list)
    not_run: list[NotRun] = Field(default_factory=list)
    error: str = ""
    """Set when no tests could be started at all."""

    @property
    def outcome(self) -> Outcome:
        order: list[Outcome] = ["timeout", "broken", "red", "green", "none"]
        if self.error:
            return "broken"
        return min((report.outcome for report in self.reports), key=order.index, default="none")

    @property
    def failures(self) -> list[TestFailure]:
        return [failure for report in self.reports for failure in report.failures]

    @property
    def reason(self) -> str:
        told = [self.error, *(report.reason for report in self.reports), *(skipped.text for skipped in self.not_run)]
        return " ".join(dict.fromkeys(filter(None, told)))
