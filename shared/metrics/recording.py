"""Recording: one function a thing that happens. Times in seconds. prometheus_client is loaded at the first call."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from shared.types import Gate, RiskLevel, Stage, TaskStatus

if TYPE_CHECKING:
    from shared.metrics.registry import Metrics


def _metrics() -> Metrics:
    from shared.metrics.registry import metrics

    return metrics()


def chat_request(intent: str, outcome: str, seconds: float) -> None:
    """A chat turn was answered: `intent` of the answer, `outcome` ok, refused or error."""
    found = _metrics()
    found.chat_requests.labels(intent, outcome).inc()
    found.chat_seconds.observe(seconds)
    samples = [sample for metric in found.chat_requests.collect() for sample in metric.samples if sample.name == "chat_requests_total"]
    total = sum(sample.value for sample in samples)
    asked = sum(sample.value for sample in samples if sample.labels["intent"] == "clarification")
    found.clarification_rate.set(asked / total)


def confidence(value: float) -> None:
    """How sure the recogniser was, from 0 to 1."""
    _metrics().intent_confidence.observe(value)


def task_reached(workflow: str, status: TaskStatus) -> None:
    """A task came to a status it was not in."""
    _metrics().tasks.labels(workflow, status.value).inc()


def stage_finished(stage: Stage, seconds: float) -> None:
    _metrics().stage_seconds.labels(stage.value).observe(seconds)


def approvals_pending(counts: Mapping[tuple[Gate, RiskLevel], int]) -> None:
    """How many approvals wait now; what is not named is none."""
    gauge = _metrics().approvals_pending
    gauge.clear()
    for (gate, risk), count in counts.items():
        gauge.labels(gate.value, risk.value).set(count)


def approval_decided(gate: Gate, decision: str, waited: float) -> None:
    """`decision` is approve, reject, edit or respond."""
    _metrics().approval_wait.labels(gate.value, decision).observe(max(0.0, waited))


def run_reclaimed() -> None:
    _metrics().runs_reclaimed.inc()


def sandbox_opened(provider: str) -> None:
    _metrics().sandboxes.labels(provider).inc()


def sandbox_closed(provider: str) -> None:
    _metrics().sandboxes.labels(provider).dec()


def sandbox_leaked() -> None:
    """A sandbox that its owner left behind was found and removed."""
    _metrics().sandboxes_leaked.inc()


def model_used(provider: str, model: str, input_tokens: int, output_tokens: int, cost_usd: float | None) -> None:
    """A call of a model was answered; `cost_usd` is None when its price is unknown."""
    found = _metrics()
    found.model_tokens.labels(provider, model, "input").inc(input_tokens)
    found.model_tokens.labels(provider, model, "output").inc(output_tokens)
    found.model_cost.inc(cost_usd or 0.0)


def stream_opened() -> None:
    _metrics().streams.inc()


def stream_closed() -> None:
    _metrics().streams.dec()


def render() -> bytes:
    """Prometheus' text format, version 0.0.4."""
    from prometheus_client import generate_latest

    return generate_latest(_metrics().registry)
