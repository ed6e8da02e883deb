"""Recipes: rote work done without a model.

`parse` reads the person's words (pure, microseconds); `plan` looks at the repository and answers a typed plan or says why the
recipe does not apply; `apply` makes the change inside the sandbox. The same plan on the same commit gives the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from shared.recipes.repository_config import RepositoryConfig
from shared.types import CommandResult, Json, Plan, Risk


@dataclass(frozen=True)
class MissingSlot:
    """What must be asked before the recipe can be planned, with the choices where they are known."""

    name: str
    question: str
    suggestions: tuple[str, ...] = ()


@dataclass(frozen=True)
class RecipeMatch:
    """What the words say: `slots` are JSON values by name; `confidence` from 0 to 1."""

    recipe: str
    slots: Json
    missing: tuple[MissingSlot, ...] = ()
    confidence: float = 0.9


@dataclass(frozen=True)
class RecipePlan:
    """A plan and how risky it is; `gate_command` is the command of a high-risk command gate, where there is one."""

    plan: Plan
    risk: Risk


@dataclass(frozen=True)
class NothingToDo:
    """The repository is already as asked (the lint is clean, the symbol is already named so)."""

    reason: str


@dataclass(frozen=True)
class NotApplicable:
    """The recipe was meant but cannot do it (no such symbol, no such dependency): a clear sentence and what to do."""

    reason: str
    next_step: str = ""
    code: str = "recipe_not_applicable"


@dataclass(frozen=True)
class ApplyReport:
    """What was done. `notes` go into the report and the pull request; `answer` is a report for recipes that change nothing."""

    summary: str
    notes: tuple[str, ...] = ()
    answer: str | None = None
    artifacts: dict[str, bytes] = field(default_factory=dict)


class RecipeWorkspace(Protocol):
    """A repository at its base commit inside a sandbox. Paths are relative, with `/`; leaving the workspace is refused."""

    @property
    def config(self) -> RepositoryConfig:
        """The repository's `.persevere.yml`, read at the base commit."""

    async def files(self) -> Sequence[str]:
        """All tracked regular files and symbolic links, sorted."""

    async def read(self, path: str) -> bytes: ...

    async def exists(self, path: str) -> bool: ...

    async def write(self, path: str, data: bytes) -> None: ...

    async def run(self, argv: Sequence[str], *, timeout_s: float = 120, environment: dict[str, str] | None = None) -> CommandResult:
        """Run the repository's own command inside the sandbox, in the workspace's root."""

    async def run_tool(self, argv: Sequence[str], *, stdin: bytes = b"", timeout_s: float = 300) -> CommandResult:
        """Run one of Persevere's own tools inside the sandbox.

        `argv[0]` is a module's script under `workflows/recipes/tools/` ("rename_symbol.py") run by our interpreter in isolated
        mode, or the name of a program of our environment ("ruff"). The repository cannot shadow either.
        """


class Recipe(Protocol):
    name: str
    summary: str
    example: str
    workflow: str

    def parse(self, text: str, config: RepositoryConfig | None = None) -> RecipeMatch | None:
        """What the text asks of this recipe, or None. `config` is None when the repository is not known yet."""

    def answer(self, slots: Json, slot: str, text: str, config: RepositoryConfig | None = None) -> Json | None:
        """Fill the missing `slot` from a person's answer: the new slots, or None if the answer does not fit."""

    async def plan(self, slots: Json, prompt: str, workspace: RecipeWorkspace) -> RecipePlan | NothingToDo | NotApplicable: ...

    async def apply(self, plan: Plan, workspace: RecipeWorkspace) -> ApplyReport | NothingToDo | NotApplicable: ...


class RecipeBook(Protocol):
    """All recipes in the order they are offered."""

    def all(self) -> Sequence[Recipe]: ...

    def get(self, name: str) -> Recipe:
        """The recipe; `NotFoundError` lists the valid names."""

    def parse(self, text: str, config: RepositoryConfig | None = None) -> RecipeMatch | None:
        """The best match of all recipes, or None."""
