"""What is counted, as functions to call where it happens. `render()` gives all of it in Prometheus' text format."""

from __future__ import annotations

from shared.metrics.recording import (
    approval_decided,
    approvals_pending,
    chat_request,
    confidence,
    model_used,
    render,
    run_reclaimed,
    sandbox_closed,
    sandbox_leaked,
    sandbox_opened,
    stage_finished,
    stream_closed,
    stream_opened,
    task_reached,
)

__all__ = [
    "approval_decided",
    "approvals_pending",
    "chat_request",
    "confidence",
    "model_used",
    "render",
    "run_reclaimed",
    "sandbox_closed",
    "sandbox_leaked",
    "sandbox_opened",
    "stage_finished",
    "stream_closed",
    "stream_opened",
    "task_reached",
]
