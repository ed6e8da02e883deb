"""Builds what a run hands its graph."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from agent_orchestrator.runtime.forge import FencedForge
from agent_orchestrator.runtime.journal import FencedEffects, FencedJournal
from agent_orchestrator.runtime.lease import Lease
from agent_orchestrator.runtime.owners import OwnerBudgets
from agent_orchestrator.runtime.remarks import TaskRemarks
from agent_orchestrator.runtime.reviewed import find_reviewed
from agent_orchestrator.runtime.spend import Budget, TaskSpend
from agent_orchestrator.runtime.steps import FencedSteps
from agent_orchestrator.runtime.workspaces import TaskWorkspaces
from agent_orchestrator.supervisor.context import SupervisorContext
from agent_orchestrator.supervisor.gates import GateKeeper
from agents.tester.equipment import equip
from shared.events import store as events_store
from shared.forge.local_pull_requests import LocalPullRequests
from shared.forge.private import remove_tree
from shared.models.port import ModelPort
from shared.models.registry import known_prices
from shared.recipes.repository_config import FILE_NAME, RepositoryConfig, parse_repository_config
from shared.store import approvals, tasks
from shared.store.records import Task
from shared.types import Json, Stage, TaskStatus
from workflows.loader import Workflow

if TYPE_CHECKING:
    from agent_orchestrator.resources import Resources


async def pin_base(resources: Resources, lease: Lease, task: Task) -> Task:
    """Record the commit the work starts from, once: a branch that moves on later changes nothing."""
    if task.base_commit is not None:
        return task
    info = await resources.forge.inspect(task.repo, task.base_branch)
    found = await find_reviewed(resources, task, info) or {}
    happened: list[tuple[str, Json]] = [("status_update", {"new_status": TaskStatus.PLANNING.value, "details": "reading the repository"})]
    happened += [("log", {"level": "warning", "message": note}) for note in info.notes]
    async with lease.transaction() as tx:
        # Someone may have told the task something meanwhile.
        request = (await tasks.get(tx, task.id) or task).request
        task = await tasks.update(
            tx,
            task.id,
            request={**request, **found},
            base_commit=found["reviewed"]["head"] if found else info.head_commit,
            base_branch=task.base_branch or info.default_branch,
            status=TaskStatus.PLANNING,
            stage=Stage.CLONING,
        )
        await events_store.append(tx, task.id, Stage.CLONING, happened)
    return task


async def build_context(resources: Resources, lease: Lease, task: Task) -> SupervisorContext:
    """Live handles for one run. The repository's configuration is read at the base commit, never from the change."""
    assert task.base_commit is not None
    before = str((task.request.get("reviewed") or {}).get("base") or task.base_commit)
    config = parse_repository_config(await resources.forge.read_file(task.repo, before, FILE_NAME))
    provider = await resources.sandbox()
    workflow = resources.workflows.get(task.workflow)
    model = resources.model_for(task.request.get("model"), await resources.keys_of(task.user_id))
    spend = await task_spend(resources, lease, task, config, workflow, model) if model is not None else None
    journal = FencedJournal(lease, resources.artifacts)
    return SupervisorContext(
        task=task,
        config=config,
        recipes=resources.recipes,
        workspaces=TaskWorkspaces(
            task_id=task.id,
            repo=task.repo,
            base_commit=task.base_commit,
            forge=resources.forge,
            provider=provider,
            system=await provider.system(),
            config=config,
            labels=labels_of(task, lease),
            root=_fresh_root(resources.settings.data_dir, task.id, lease.epoch),
        ),
        forge=FencedForge(resources.forge, lease),
        journal=journal,
        effects=FencedEffects(lease),
        pull_requests=LocalPullRequests(lease, resources.settings.base_url, task.id),
        limits=workflow.limits.model_dump(),
        environments=resources.settings.data_dir / "environments",
        may_change="pr" in workflow.stages,
        models=model,
        spend=spend,
        steps=FencedSteps(lease, spend) if spend is not None else None,
        remarks=TaskRemarks(resources.database, task.id),
        workflow=workflow,
        gates=GateKeeper(lease, resources.policy, resources.settings.approval_ttl, journal.pause),
        isolated=provider.isolated,
        equip=equip,
    )


def labels_of(task: Task, lease: Lease) -> dict[str, str]:
    """Whose a sandbox is, for `sweeping`."""
    return {"task": task.id, "epoch": str(lease.epoch)}


async def task_spend(
    resources: Resources, lease: Lease, task: Task, config: RepositoryConfig, workflow: Workflow, model: ModelPort
) -> TaskSpend:
    """The task's budget as it is now, with what people granted."""
    async with lease.database.connection() as connection:
        asked = await approvals.for_task(connection, task.id)
    base = Budget.of(task, config, workflow.limits)
    prices = known_prices(resources.settings)
    names = (model.name, *resources.settings.model_fallbacks)
    granted = base.with_grants(asked, task.request.get("budget_set_after") or {})
    settings = resources.settings
    owners = OwnerBudgets(task.user_id, task.project_id, settings.limits_of("user"), settings.limits_of("project"))
    return TaskSpend(lease, task, base, granted, owners, [name for name in names if prices.of(name) is None])


def _fresh_root(data_dir: Path, task_id: str, epoch: int) -> Path:
    """This run's own folder; what earlier runs of the task left behind is removed, never a later one's: we may be the stale run."""
    parent = data_dir / "workspaces" / task_id
    if parent.exists():
        for old in parent.iterdir():
            if old.name.isdigit() and int(old.name) < epoch:
                with contextlib.suppress(OSError):
                    remove_tree(old)
    root = parent / str(epoch)
    root.mkdir(parents=True, exist_ok=True)
    return root
