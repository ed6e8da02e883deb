"""Tasks of three calls of a model each, on a real worker and database, against a provider's stand-in."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, TypedDict

from langgraph.graph import END, START, StateGraph
from langgraph.runtime import Runtime

from agent_orchestrator.resources import Resources, open_resources
from agent_orchestrator.runtime.context import task_spend
from agent_orchestrator.runtime.executor import RunExecutor
from agent_orchestrator.runtime.journal import FencedJournal
from agent_orchestrator.runtime.lease import Lease
from agent_orchestrator.runtime.worker import open_run_worker
from agent_orchestrator.tasks.service import TaskDraft, TaskService
from config.settings import Settings
from shared.events import store as events_store
from shared.models.port import ModelPort, Spend
from shared.recipes.repository_config import RepositoryConfig
from shared.store.records import Event, Task
from shared.types import Stage, TaskStatus, utcnow

USER = "local"


class State(TypedDict, total=False):
    said: list[str]


@dataclass(frozen=True)
class Context:
    journal: FencedJournal
    models: ModelPort
    spend: Spend


async def code(state: State, runtime: Runtime[Context]) -> State:
    """One call of the model a step."""
    await runtime.context.journal.update(Stage.CODING, TaskStatus.CODING)
    answer = await runtime.context.models.bind(runtime.context.spend).ainvoke("go on")
    return {"said": [*state.get("said", []), answer.text]}


async def finish(state: State, runtime: Runtime[Context]) -> State:
    await runtime.context.journal.update(
        Stage.REPORT,
        TaskStatus.COMPLETED,
        outcome=" ".join(state["said"]),
        finished_at=utcnow(),
        events=[("task_completed", {"final_status": "completed"})],
    )
    return {}


def three_calls() -> Any:
    graph = StateGraph(State, context_schema=Context)
    graph.add_node("code", code)
    graph.add_node("finish", finish)
    graph.add_edge(START, "code")
    graph.add_conditional_edges("code", lambda state: "finish" if len(state["said"]) == 3 else "code", ["code", "finish"])
    graph.add_edge("finish", END)
    return graph


@asynccontextmanager
async def working_on_calls(settings: Settings, config: RepositoryConfig | None = None) -> AsyncIterator[Resources]:
    async with open_resources(settings, worker=False) as resources:

        async def context(lease: Lease, task: Task) -> Context:
            model = resources.model_for(task.request.get("model"))
            assert model is not None
            workflow = resources.workflows.get(task.workflow)
            spend = await task_spend(resources, lease, task, config or RepositoryConfig(), workflow, model)
            return Context(FencedJournal(lease, resources.artifacts), model, spend)

        async with open_run_worker(resources, lambda opened, saver: RunExecutor(opened, saver, three_calls(), context)):
            yield resources


async def submit(resources: Resources, project_id: str | None = None, **request: Any) -> Task:
    draft = TaskDraft(user_id=USER, prompt="p", title="t", repo="/r", workflow="feature_dev", project_id=project_id, request=request)
    async with resources.database.transaction() as tx:
        return await TaskService(resources).create(tx, draft)


async def events_of(resources: Resources, task_id: str) -> list[Event]:
    async with resources.database.connection() as connection:
        return await events_store.read(connection, task_id)
