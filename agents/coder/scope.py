"""What an approved plan lets its maker touch. Everything else is refused before it happens."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from agents.coder.dependencies import declared
from agents.loop.paths import clean
from shared.approvals.policy import path_matches
from shared.errors import InvalidRequestError
from shared.types import Plan, canonical_json


@dataclass
class PlanScope:
    """`links`: symbolic links of the workspace; a path through one leads elsewhere than its name says."""

    plan: Plan
    never_touch: tuple[str, ...]
    links: frozenset[str] = frozenset()

    @property
    def files(self) -> frozenset[str]:
        return frozenset(path for step in self.plan.steps for path in step.files)

    def writable(self, path: str) -> str:
        """The clean path. InvalidRequestError, with what to do, when the plan does not name it."""
        name = clean(path)
        self.touchable(name)
        parts = name.split("/")
        for depth in range(1, len(parts) + 1):
            if (link := "/".join(parts[:depth])) in self.links:
                raise InvalidRequestError(f"{link} is a symbolic link, so {path} is not changed through it.", "Name the file itself.")
        if name not in self.files:
            raise InvalidRequestError(
                f"{name} is not in the approved plan, so it was not changed.",
                "If the plan cannot be done without it, call widen_plan with it and the reason; a person decides.",
            )
        return name

    def touchable(self, path: str) -> None:
        """InvalidRequestError for a file that no plan may name."""
        for pattern in self.never_touch:
            if path_matches(path, pattern):
                raise InvalidRequestError(f"{path} must never be touched: .persevere.yml says so ({pattern}).", "Do the work without it.")

    def outside(self, paths: Iterable[str]) -> list[str]:
        return sorted(set(paths) - self.files)

    def check_dependencies(self, path: str, before: str, after: str) -> None:
        """InvalidRequestError for a dependency that was added and that the plan does not speak of."""
        if new := self.new_dependencies(path, after, before):
            raise InvalidRequestError(
                f"The plan does not name the new dependency {', '.join(new)}, so {path} was not changed.",
                "Do without it, or call widen_plan with this file and a reason that names the dependency; a person decides.",
            )

    def new_dependencies(self, path: str, text: str, *before: str) -> list[str]:
        """What it declares, but for what one of the texts `before` declared and what the plan speaks of."""
        words = canonical_json(self.plan.model_dump(mode="json")).decode().lower()
        known = set[str]().union(*(declared(path, old) for old in before))
        return sorted(name for name in declared(path, text) - known if name not in words)
