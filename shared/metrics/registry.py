"""The metrics of this process, on a registry of their own. No label ever holds an id."""

from __future__ import annotations

from functools import lru_cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_CHAT_BUCKETS = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_STAGE_BUCKETS = (0.1, 0.5, 1, 5, 10, 30, 60, 120, 300, 600, 1800, 3600)
_WAIT_BUCKETS = (5, 30, 60, 300, 900, 3600, 4 * 3600, 24 * 3600, 3 * 24 * 3600, 7 * 24 * 3600)
_CONFIDENCE_BUCKETS = tuple(step / 10 for step in range(1, 11))


class Metrics:
    """Every metric of the service. Times in seconds."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.chat_requests = Counter("chat_requests_total", "Chat turns.", ["intent", "outcome"], registry=registry)
        self.chat_seconds = Histogram("chat_request_seconds", "Time of one chat turn.", buckets=_CHAT_BUCKETS, registry=registry)
        self.intent_confidence = Histogram(
            "intent_confidence", "How sure the recogniser was.", buckets=_CONFIDENCE_BUCKETS, registry=registry
        )
        self.clarification_rate = Gauge("clarification_rate", "Share of chat turns answered with a question.", registry=registry)
        self.tasks = Counter("tasks_total", "Tasks that reached a status.", ["workflow", "status"], registry=registry)
        self.stage_seconds = Histogram("task_stage_seconds", "Time of one stage.", ["stage"], buckets=_STAGE_BUCKETS, registry=registry)
        self.approvals_pending = Gauge("approvals_pending", "Approvals that wait for a person.", ["gate", "risk"], registry=registry)
        self.approval_wait = Histogram(
            "approval_wait_seconds", "From the question to the decision.", ["gate", "decision"], buckets=_WAIT_BUCKETS, registry=registry
        )
        self.runs_reclaimed = Counter("runs_reclaimed_total", "Runs taken over from a dead worker.", registry=registry)
        self.sandboxes = Gauge("sandboxes_active", "Open sandboxes.", ["provider"], registry=registry)
        self.sandboxes_leaked = Counter(
            "sandboxes_leaked_total", "Sandboxes whose owner died and that were removed by another.", registry=registry
        )
        self.model_tokens = Counter(
            "model_tokens_total", "Tokens of models, by kind: input, output.", ["provider", "model", "kind"], registry=registry
        )
        self.model_cost = Counter("model_cost_usd_total", "US dollars spent on models whose price is known.", registry=registry)
        self.streams = Gauge("sse_streams_active", "Open event streams.", registry=registry)


@lru_cache(maxsize=1)
def metrics() -> Metrics:
    """The one set of this process, made when first used."""
    return Metrics()
