"""Where the graphs of runs keep their checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from langgraph.checkpoint.base import BaseCheckpointSaver


class Checkpoints(Protocol):
    """Makes the saver of a run. What a run wrote after it lost its lease is never continued."""

    def saver(self, task_id: str, epoch: int) -> BaseCheckpointSaver[Any]:
        """LangGraph's saver for one run. A put raises `FencedError` when `epoch` is no longer the task's."""

    async def delete(self, thread_ids: Sequence[str]) -> None:
        """Forget these threads. Whoever goes on with one begins again."""
