"""Brings one task forward: from its job to a gate or an end. Never waits for a person."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from langgraph.errors import GraphDrained
from langgraph.types import Command, Interrupt

from agent_orchestrator.runtime.active import ActiveRun, ActiveRuns
from agent_orchestrator.runtime.admission import admit_next, claim
from agent_orchestrator.runtime.budgets import NO_MORE, answer_of, ask_for_more
from agent_orchestrator.runtime.context import build_context, pin_base
from agent_orchestrator.runtime.endings import cancel_now, error_of, fail, hand_over, keep_waiting, tell_interruption
from agent_orchestrator.runtime.lease import Lease
from agent_orchestrator.supervisor.graph import build_supervisor_graph
from shared.errors import FencedError, PersevereError, TaskFailedError
from shared.models.port import BudgetReached
from shared.store import approvals, runs
from shared.store.records import Approval, Run, Task
from shared.types import ApprovalStatus, Json, TaskStatus

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from agent_orchestrator.resources import Resources
    from agent_orchestrator.runtime.checkpoints.port import Checkpoints
    from agent_orchestrator.supervisor.context import SupervisorContext

log = logging.getLogger(__name__)

POISON_LIMIT = 8
"""Runs in a row that died without a new checkpoint before the task is given up."""
RECURSION_LIMIT = 100


class RunExecutor:
    """Executes runs for a worker: the supervisor's graph, unless another one is given with what it is handed."""

    def __init__(
        self,
        resources: Resources,
        checkpoints: Checkpoints,
        graph: Any = None,
        context: Callable[[Lease, Task], Awaitable[Any]] | None = None,
    ) -> None:
        self._resources, self._checkpoints = resources, checkpoints
        self._graph: Any = (graph or build_supervisor_graph()).compile()
        self._context = context or self._supervisor_context
        self.active = ActiveRuns(resources.database)

    async def execute(self, task_id: str) -> None:
        """Claim the task and advance it. A task that is finished, waits for a person or has no room is left as it is."""
        claimed = await claim(self._resources, task_id)
        if claimed is None:
            return
        task, run = claimed
        lease = Lease(self._resources.database, task_id, run.epoch, run.thread_id, lambda tx: admit_next(self._resources, tx, task.user_id))
        try:
            await self._begin(ActiveRun(lease), task, run)
        except FencedError:
            log.warning("run %s of %s lost its lease", run.epoch, task_id)

    async def _begin(self, active: ActiveRun, task: Task, run: Run) -> None:
        if run.cancel_requested:
            await cancel_now(active.lease, "cancelled")
        elif run.poison_count > POISON_LIMIT:
            await fail(active.lease, poisoned())
        elif task.status is TaskStatus.WAITING and (answer := await answer_of(active.lease)) != "go":
            await (cancel_now(active.lease, "rejected", NO_MORE) if answer == "stop" else keep_waiting(active.lease))
        else:
            active.work = asyncio.create_task(self._advance(active, task), name=f"run {task.id}")
            self.active.add(active)
            try:
                await self._end(active)
            finally:
                self.active.remove(active)

    async def _end(self, active: ActiveRun) -> None:
        """Wait for the work, and end the run as the work ended."""
        lease = active.lease
        assert active.work is not None
        try:
            await active.work
        except (FencedError, GraphDrained) as exc:
            if isinstance(exc, FencedError):
                raise
            await hand_over(lease, self._resources.jobs)
        except (asyncio.CancelledError, Exception) as exc:
            await self._end_early(active, exc)
        else:
            await keep_waiting(lease)

    async def _end_early(self, active: ActiveRun, exc: BaseException) -> None:
        """The work was cancelled, or failed. psycopg may tell of a cancellation as of an error, so what we know ourselves comes first."""
        if active.stopped_by == "lost":
            raise FencedError(f"Another worker runs {active.lease.task_id} now.") from exc
        if active.stopped_by == "cancelled" or await self._cancel_is_requested(active.lease):
            await cancel_now(active.lease, "cancelled")
            return
        interrupted = asyncio.current_task()
        if isinstance(exc, asyncio.CancelledError) or (interrupted is not None and interrupted.cancelling()):
            await hand_over(active.lease, self._resources.jobs)
            raise exc
        assert isinstance(exc, Exception)
        if isinstance(exc, BudgetReached) and exc.details:
            await ask_for_more(active.lease, exc, self._resources.settings.approval_ttl)
            return
        error = error_of(exc)
        if error is None:
            await tell_interruption(active.lease, exc)
            raise exc
        if not isinstance(exc, PersevereError):
            log.error("run of %s failed", active.lease.task_id, exc_info=exc)
        await fail(active.lease, error)

    async def _advance(self, active: ActiveRun, task: Task) -> None:
        lease = active.lease
        context = await self._context(lease, task)
        graph = self._graph.copy({"checkpointer": self._checkpoints.saver(task.id, lease.epoch)})
        config = {"configurable": {"thread_id": lease.thread_id}, "recursion_limit": RECURSION_LIMIT}
        step = _START if lease.is_first else await self._next_input(await graph.aget_state(config))
        while step is not _WAIT:
            if active.control.drain_requested:
                raise GraphDrained
            ended = await graph.ainvoke(step, config, context=context, durability="sync", control=active.control)
            step = await self._answer(ended.get("__interrupt__", ()))

    async def _supervisor_context(self, lease: Lease, task: Task) -> SupervisorContext:
        return await build_context(self._resources, lease, await pin_base(self._resources, lease, task))

    async def _next_input(self, snapshot: Any) -> Any:
        """What to invoke the graph with: a start, a resume, `None` to go on, or `_WAIT` when there is nothing to do."""
        if not snapshot.values and not snapshot.next:
            return _START
        if snapshot.interrupts:
            return await self._answer(snapshot.interrupts)
        # `next` leaves out a step that is done but whose checkpoint a kill prevented: its task is still there, with its result.
        return None if snapshot.tasks else _WAIT

    async def _answer(self, interrupts: Sequence[Interrupt]) -> Any:
        """The resume for what the graph waits for, when it is decided; `_WAIT` when it is not, or when the graph has ended."""
        if not interrupts:
            return _WAIT
        async with self._resources.database.connection() as connection:
            approval = await approvals.get(connection, interrupts[0].value["approval_id"])
        decision = decision_of(approval)
        return _WAIT if decision is None else Command(resume={interrupts[0].id: decision})

    async def _cancel_is_requested(self, lease: Lease) -> bool:
        async with self._resources.database.connection() as connection:
            return (await runs.held(connection, {lease.task_id: lease.epoch})).get(lease.task_id, False)


def poisoned() -> TaskFailedError:
    return TaskFailedError(
        "The task was interrupted several times in the same place.",
        "Look at `persevere tasks events` and `persevere doctor`, then retry.",
        code="poison_run",
    )


_WAIT = object()
_START: Json = {"revisions": {}}


def decision_of(approval: Approval | None) -> Json | None:
    """What an approval tells the graph, or None while it is pending. An edited patch may be large: it stays with the approval."""
    if approval is None or approval.status is ApprovalStatus.PENDING:
        return None
    if approval.status is ApprovalStatus.EXPIRED:
        return {"decision": "expired", "content_sha256": approval.content_sha256}
    stored = {key: value for key, value in (approval.decision or {"decision": "reject"}).items() if key != "edited"}
    return {**stored, "content_sha256": approval.content_sha256}
