"""What the supervisor has beyond its specialists: the gates and what the workflow says."""

from __future__ import annotations

from dataclasses import dataclass

from agent_orchestrator.supervisor.gates import GateKeeper
from agents.context import TaskContext
from workflows.loader import Workflow


@dataclass(frozen=True, kw_only=True)
class SupervisorContext(TaskContext):
    workflow: Workflow
    gates: GateKeeper
