"""A port that is called by a run has its fault points: a new one, or a new call of one, fails here until it has."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import Any

import pytest

from tests.chaos.boundaries import BOUNDARIES, load

ROOT = Path(__file__).resolve().parents[2]
BOUNDARY_OF = {
    "shared.forge.port.Forge": "forge",
    "shared.sandbox.port.Sandbox": "sandbox",
    "shared.sandbox.port.SandboxProvider": "sandboxes",
    "agents.context.PullRequests": "pull_requests",
    "agents.context.EffectsLedger": "effects",
    "shared.models.port.Spend": "model",
    "agents.context.StepLog": "steps",
}
INSIDE = {
    "agents.context.Journal": "writes through transactions, which have points",
    "agents.context.OpenWorkspace": "calls a sandbox and the forge, which have points",
    "agents.context.Remarks": "reads one row of the database",
    "agents.context.Workspaces": "calls a sandbox and the forge, which have points",
    "agent_orchestrator.runtime.checkpoints.port.Checkpoints": "makes savers, which have points, and prunes what has ended",
    "shared.events.port.EventFeed": "serves readers; nothing of a run waits for it",
    "shared.events.port.Following": "serves readers; nothing of a run waits for it",
    "shared.events.port.Announcements": "wakes readers, who look for themselves when nobody does",
    "shared.sandbox.port.Keeper": "writes through transactions, which have points",
    "shared.sandbox.port.Leftover": "is what a sandbox elsewhere was; no run goes on in it",
    "shared.intent.port.Recogniser": "computes in the process",
    "shared.models.port.ModelPort": "asks its budget before each call and tells it after, which have points",
    "shared.ratelimits.port.RateLimiter": "guards requests; no run passes it",
    "shared.recipes.port.Recipe": "works on a workspace, whose calls have points",
    "shared.recipes.port.RecipeBook": "computes in the process",
    "shared.recipes.port.RecipeWorkspace": "calls a sandbox and the forge, which have points",
}


def _ports() -> list[tuple[str, Any]]:
    modules = [path for layer in ("shared", "agent_orchestrator") for path in (ROOT / layer).rglob("port.py")] + [
        ROOT / "agents" / "context.py"
    ]
    found = []
    for path in sorted(modules):
        module = importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
        found += [
            (f"{module.__name__}.{name}", value)
            for name, value in vars(module).items()
            if getattr(value, "_is_protocol", False) and value.__module__ == module.__name__
        ]
    return found


@pytest.mark.parametrize(("name", "port"), _ports())
def test_a_port_has_points_or_a_reason(name: str, port: Any) -> None:
    if name in INSIDE:
        return
    assert name in BOUNDARY_OF, f"{name} leaves the program without a fault point: add it to tests.chaos.boundaries"
    _, calls = BOUNDARIES[BOUNDARY_OF[name]]
    asked = {call for call, value in vars(port).items() if inspect.iscoroutinefunction(value)}
    assert asked <= set(calls), f"{name} has calls without a fault point"


@pytest.mark.parametrize("boundary", BOUNDARIES)
def test_the_points_are_put_around_calls_that_exist(boundary: str) -> None:
    owners, calls = BOUNDARIES[boundary]
    for owner in owners:
        for call in calls:
            assert inspect.iscoroutinefunction(getattr(load(owner), call)), f"{owner}.{call}"
