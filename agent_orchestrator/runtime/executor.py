"""Brings one task forward: from its job to a gate or an end. Never waits for a person."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
from typing import TYPE_CHECKING, Any

from langgraph.types import Command

from agent_orchestrator.runtime.context import build_context, pin_base
from agent_orchestrator.runtime.endings import cancel_now, error_of, fail
from agent_orchestrator.runtime.host import host_id, worker_id
from agent_orchestrator.runtime.lease import Lease
from agent_orchestrator.supervisor.graph import build_supervisor_graph
from shared.errors import FencedError, PersevereError, TaskFailedError
from shared.store import approvals, runs, tasks
from shared.store.records import Approval, Run, Task
from shared.types import ApprovalStatus, Json

if TYPE_CHECKING:
    from agent_orchestrator.resources import Resources
    from agent_orchestrator.runtime.checkpoints.port import Checkpoints

log = logging.getLogger(__name__)

CANCEL_POLL_S = 0.5
POISON_LIMIT = 8
"""Runs in a row that died without a new checkpoint before the task is given up."""
RECURSION_LIMIT = 100


class RunExecutor:
    """Executes runs for a worker."""

    def __init__(self, resources: Resources, checkpoints: Checkpoints) -> None:
        self._resources, self._checkpoints = resources, checkpoints
        self._graph: Any = build_supervisor_graph().compile()

    async def execute(self, task_id: str) -> None:
        """Claim the task and advance it. A task that is finished, or waits for a person, is left as it is."""
        claimed = await self._claim(task_id)
        if claimed is None:
            return
        task, run = claimed
        lease = Lease(self._resources.database, task_id, run.epoch, run.thread_id)
        try:
            await self._guarded(lease, task, run)
        except FencedError:
            log.warning("run of %s lost its lease", task_id)

    async def _claim(self, task_id: str) -> tuple[Task, Run] | None:
        async with self._resources.database.transaction() as tx:
            task = await tasks.get(tx, task_id)
            if task is None or task.status.is_final:
                return None
            before = await runs.get(tx, task_id)
            run = await runs.claim(tx, task_id, worker_id(), os.getpid(), host_id())
            if before is not None and before.state == "running":
                run = await runs.update(tx, task_id, poison_count=run.poison_count + 1)
        return task, run

    async def _guarded(self, lease: Lease, task: Task, run: Run) -> None:
        if run.cancel_requested:
            await cancel_now(lease, "cancelled")
            return
        if run.poison_count > POISON_LIMIT:
            await fail(
                lease,
                TaskFailedError(
                    "The task ended its worker several times in the same place.",
                    "Look at `persevere tasks events`, then retry.",
                    code="poison_run",
                ),
            )
            return
        work = asyncio.create_task(self._advance(lease, task, run))
        watch = asyncio.create_task(self._watch_for_cancel(lease, work))
        try:
            await work
        except asyncio.CancelledError:
            if await self._cancel_is_requested(task.id):
                await cancel_now(lease, "cancelled")
                return
            work.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await work
            raise
        except FencedError:
            raise
        except Exception as exc:
            if await self._cancel_is_requested(task.id):
                await cancel_now(lease, "cancelled")
                return
            error = error_of(exc)
            if error is None:
                raise
            if not isinstance(exc, PersevereError):
                log.exception("run of %s failed", task.id)
            await fail(lease, error)
        finally:
            watch.cancel()

    async def _advance(self, lease: Lease, task: Task, run: Run) -> None:
        task = await pin_base(self._resources, lease, task)
        context = await build_context(self._resources, lease, task)
        graph = self._graph.copy({"checkpointer": self._checkpoints.saver(task.id, lease.epoch)})
        config = {"configurable": {"thread_id": lease.thread_id}, "recursion_limit": RECURSION_LIMIT}
        seen: str | None = run.checkpoint_id
        while True:
            snapshot = await graph.aget_state(config)
            current = snapshot.config["configurable"].get("checkpoint_id")
            if current != seen:
                seen = current
                await self._note_progress(lease, current)
            step = await self._next_input(snapshot)
            if step is _WAIT:
                break
            await graph.ainvoke(step, config, context=context, durability="sync")
        async with lease.transaction() as tx:
            await runs.finish(tx, lease.task_id, lease.epoch, "idle", poison_count=0)

    async def _note_progress(self, lease: Lease, checkpoint_id: str | None) -> None:
        async with lease.transaction() as tx:
            await runs.update(tx, lease.task_id, checkpoint_id=checkpoint_id, poison_count=0)

    async def _next_input(self, snapshot: Any) -> Any:
        """What to invoke the graph with: a start, a resume, `None` to go on, or `_WAIT` when there is nothing to do."""
        if not snapshot.values and not snapshot.next:
            return {"revisions": {}}
        if snapshot.interrupts:
            interrupt = snapshot.interrupts[0]
            async with self._resources.database.connection() as connection:
                approval = await approvals.get(connection, interrupt.value["approval_id"])
            decision = decision_of(approval)
            return _WAIT if decision is None else Command(resume={interrupt.id: decision})
        return None if snapshot.next else _WAIT

    async def _watch_for_cancel(self, lease: Lease, work: asyncio.Task[None]) -> None:
        while not work.done():
            await asyncio.sleep(CANCEL_POLL_S)
            with contextlib.suppress(Exception):
                if await self._cancel_is_requested(lease.task_id):
                    work.cancel()
                    return

    async def _cancel_is_requested(self, task_id: str) -> bool:
        async with self._resources.database.connection() as connection:
            run = await runs.get(connection, task_id)
        return run is not None and run.cancel_requested


_WAIT = object()


def decision_of(approval: Approval | None) -> Json | None:
    """What an approval tells the graph, or None while it is pending."""
    if approval is None or approval.status is ApprovalStatus.PENDING:
        return None
    if approval.status is ApprovalStatus.EXPIRED:
        return {"decision": "expired", "content_sha256": approval.content_sha256}
    stored = approval.decision or {"decision": "reject"}
    return {**stored, "content_sha256": approval.content_sha256}
