"""Fault points: every call that leaves the program - database, checkpoints, sandbox, forge, files, jobs - can be the last one.

The points are put around the adapters' methods in the process that is to die; the program itself knows nothing of them.
"""

from __future__ import annotations

import functools
import importlib
import os
import re
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

HERE = "tests.chaos"
_PASSED_OVER = ("contextlib", "shared.store.database", "agent_orchestrator.runtime.lease", "asyncio", HERE)

BOUNDARIES: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "forge": (
        ("shared.forge.local:LocalForge",),
        ("inspect", "read_file", "list_files", "checkout", "diff", "compare", "commit_id", "push", "branch_head"),
    ),
    "pull_requests": (("shared.forge.local_pull_requests:LocalPullRequests",), ("open",)),
    "sandbox": (
        ("shared.sandbox.local:LocalSandbox", "shared.sandbox.process:ProcessSandbox"),
        ("run", "read", "write", "exists", "collect", "pause", "resume", "aclose"),
    ),
    "sandboxes": (
        ("shared.sandbox.bubblewrap:BubblewrapProvider", "shared.sandbox.process:ProcessProvider"),
        ("probe", "system", "open", "sweep"),
    ),
    "artifacts": (("shared.artifacts.postgres:PostgresArtifacts",), ("save", "load")),
    "model": (("agent_orchestrator.runtime.spend:TaskSpend",), ("before", "after")),
    "steps": (("agent_orchestrator.runtime.steps:FencedSteps",), ("read", "keep", "forget")),
    "jobs": (("shared.jobs.queue:JobQueue",), ("enqueue",)),
    "effects": (("shared.effects.ledger",), ("intend", "done")),
    "checkpoints": (
        (
            "agent_orchestrator.runtime.checkpoints.postgres:FencedPostgresSaver",
            "agent_orchestrator.runtime.checkpoints.valkey:FencedValkeySaver",
        ),
        ("aput", "aput_writes", "aget_tuple"),
    ),
}
"""A boundary's adapters and their calls. The database has a point at the end of every transaction, named by who made it."""


@dataclass
class Faults:
    """Counts how often each point is passed, and ends the process without a goodbye at one passing of one point."""

    point: str | None = None
    passing: int = 1
    passed: Counter[str] = field(default_factory=Counter)

    def reach(self, point: str) -> None:
        self.passed[point] += 1
        if point == self.point and self.passed[point] == self.passing:
            os.kill(os.getpid(), signal.SIGKILL)


def install(faults: Faults) -> None:
    """Put the points around every boundary of this process."""
    for name, (owners, calls) in BOUNDARIES.items():
        for owner in owners:
            found = load(owner)
            for call in calls:
                if call in vars(found):
                    setattr(found, call, _around(faults, name, call, vars(found)[call]))
                elif not isinstance(found, type) or not hasattr(found, call):
                    raise LookupError(f"{owner} has no {call}: correct {HERE}.boundaries")
                elif not _is_wrapped(getattr(found, call)):
                    setattr(found, call, _around(faults, name, call, getattr(found, call)))
    database = load("shared.store.database:Database")
    database.transaction = _transaction(faults, database.transaction)


def load(owner: str) -> Any:
    module, _, name = owner.partition(":")
    found: Any = importlib.import_module(module)
    return getattr(found, name) if name else found


def _is_wrapped(call: Any) -> bool:
    return hasattr(call, "fault_boundary")


def _around(faults: Faults, boundary: str, call: str, original: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(original)
    async def passed(*arguments: Any, **named: Any) -> Any:
        point = f"{boundary}.{call}{_detail(boundary, call, arguments)}"
        faults.reach(f"before {point}")
        result = await original(*arguments, **named)
        faults.reach(f"after {point}")
        return result

    passed.fault_boundary = boundary  # type: ignore[attr-defined]
    return passed


def _transaction(faults: Faults, original: Callable[..., Any]) -> Callable[..., Any]:
    @asynccontextmanager
    async def transaction(self: Any) -> AsyncIterator[Any]:
        where = _caller()
        async with original(self) as tx:
            yield tx
            faults.reach(f"before commit of {where}")
        faults.reach(f"after commit of {where}")

    return transaction


def _caller() -> str:
    """The function that opened the transaction, as `module.function`."""
    frame = sys._getframe(2)
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if not module.startswith(_PASSED_OVER):
            return f"{module}.{frame.f_code.co_qualname}"
        frame = frame.f_back  # type: ignore[assignment]
    return "somebody"


def _detail(boundary: str, call: str, arguments: tuple[Any, ...]) -> str:
    """What makes two calls of one method different points: the program that runs, the step that is saved."""
    if (boundary, call) == ("sandbox", "run"):
        argv = arguments[1].argv
        return f"({next((part.rpartition('/')[2] for part in argv if part.endswith('.py')), argv[0].rpartition('/')[2])})"
    if (boundary, call) == ("artifacts", "save"):
        bare, kept = re.subn(r"-[0-9a-f]{16}(?=\.)", "", str(arguments[3]))
        return f"({'kept ' if kept else ''}{bare})"
    if boundary == "checkpoints":
        step = _step(arguments[1])
        return f"({step} {arguments[3].get('step')})" if call == "aput" else f"({step})"
    return ""


def _step(config: Any) -> str:
    """The place in the graph without the ids."""
    return re.sub(r":[0-9a-f-]{36}", "", str(config["configurable"].get("checkpoint_ns", ""))) or "supervisor"
