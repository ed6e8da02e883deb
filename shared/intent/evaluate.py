"""Measures of a recogniser on labelled messages: pure functions over rows."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from shared.errors import InvalidRequestError
from shared.intent.port import Intent, Recogniser, Recognition, Turn
from shared.types import Json


@dataclass(frozen=True)
class Labelled:
    """One row of a file: `task_type` and `needs_clarification` are None where the row says nothing about them."""

    id: str
    message: str
    history: tuple[Turn, ...]
    intent: str
    task_type: str | None = None
    needs_clarification: bool | None = None
    source: str = ""


@dataclass(frozen=True)
class Outcome:
    row: Labelled
    recognition: Recognition
    ms: float


def load_rows(path: Path) -> list[Labelled]:
    """Read JSON lines. `InvalidRequestError` names the line that cannot be read."""
    rows = []
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise InvalidRequestError(f"{path} cannot be read as text", "Give a file of JSON lines.") from exc
    for number, line in enumerate(lines, 1):
        if line.strip():
            rows.append(_row(path, number, line))
    if not rows:
        raise InvalidRequestError(f"{path} has no rows", "Give a file with one JSON object a line.")
    return rows


def _row(path: Path, number: int, line: str) -> Labelled:
    try:
        raw: dict[str, Any] = json.loads(line)
        history = tuple(Turn(turn["role"], str(turn["content"])) for turn in raw.get("history") or ())
        return Labelled(
            id=str(raw.get("id", number)),
            message=str(raw["message"]),
            history=history,
            intent=Intent(raw["intent"]).value,
            task_type=raw.get("task_type"),
            needs_clarification=raw.get("needs_clarification"),
            source=str(raw.get("source", "")),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        fields = "message and intent (one of " + ", ".join(Intent) + ")"
        raise InvalidRequestError(f"{path} line {number} is not a labelled message", f"Each line is a JSON object with {fields}.") from exc


async def run(recogniser: Recogniser, rows: Iterable[Labelled]) -> list[Outcome]:
    outcomes = []
    for row in rows:
        start = time.perf_counter()
        recognition = await recogniser.recognise(row.message, row.history)
        outcomes.append(Outcome(row, recognition, (time.perf_counter() - start) * 1000))
    return outcomes


def measure(outcomes: Sequence[Outcome], load_ms: float = 0.0) -> Json:
    """All figures of a run; shares are from 0 to 1 and None where no row has the label; times in milliseconds."""
    pairs = [(o.row.intent, o.recognition.intent.value) for o in outcomes]
    types = [(o.row.task_type, o.recognition.task_type) for o in outcomes if o.row.task_type]
    asked = [(o.row.needs_clarification, o.recognition.needs_clarification) for o in outcomes if o.row.needs_clarification is not None]
    times = sorted(o.ms for o in outcomes)
    per_class = class_scores(pairs)
    return {
        "intent_accuracy": share(a == b for a, b in pairs),
        "intent_macro_f1": mean([scores["f1"] for scores in per_class.values() if scores["support"]]),
        "task_type_accuracy": share(a == b for a, b in types),
        "clarification_f1": binary_f1([(bool(a), b) for a, b in asked]),
        "false_approvals": sum(b == Intent.APPROVAL_ACTION and a != Intent.APPROVAL_ACTION for a, b in pairs),
        "per_class": per_class,
        "confusion": confusion(pairs),
        "p50_ms": percentile(times, 50),
        "p99_ms": percentile(times, 99),
        "load_ms": round(load_ms, 3),
    }


def share(hits: Iterable[bool]) -> float | None:
    values = list(hits)
    return round(sum(values) / len(values), 4) if values else None


def mean(values: Sequence[float]) -> float | None:
    return round(sum(values) / len(values), 4) if values else None


def class_scores(pairs: Sequence[tuple[str, str]]) -> dict[str, dict[str, float]]:
    """`precision`, `recall`, `f1` and `support` of every class that occurs as a label or an answer."""
    scores = {}
    for name in sorted({label for pair in pairs for label in pair}):
        hits = sum(a == b == name for a, b in pairs)
        said, support = sum(b == name for _, b in pairs), sum(a == name for a, _ in pairs)
        precision, recall = hits / said if said else 0.0, hits / support if support else 0.0
        scores[name] = {"precision": round(precision, 4), "recall": round(recall, 4), "f1": _f1(precision, recall), "support": support}
    return scores


def binary_f1(pairs: Sequence[tuple[bool, bool]]) -> float | None:
    if not pairs:
        return None
    hits = sum(a and b for a, b in pairs)
    said, support = sum(b for _, b in pairs), sum(a for a, _ in pairs)
    return _f1(hits / said if said else 0.0, hits / support if support else 0.0)


def confusion(pairs: Sequence[tuple[str, str]]) -> dict[str, dict[str, int]]:
    """Label -> answer -> count; only what occurs."""
    table: dict[str, Counter[str]] = {}
    for label, answer in pairs:
        table.setdefault(label, Counter())[answer] += 1
    return {label: dict(sorted(answers.items())) for label, answers in sorted(table.items())}


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The nearest-rank percentile of ascending values; 0 for none."""
    if not ordered:
        return 0.0
    rank = max(0, min(len(ordered) - 1, round(percent / 100 * len(ordered) + 0.5) - 1))
    return round(ordered[rank], 4)


def row_report(outcome: Outcome) -> Json:
    row, found = outcome.row, outcome.recognition
    return {
        "id": row.id,
        "message": row.message,
        "intent": row.intent,
        "recognised_intent": found.intent.value,
        "confidence": found.confidence,
        "task_type": row.task_type,
        "recognised_task_type": found.task_type,
        "needs_clarification": row.needs_clarification,
        "recognised_needs_clarification": found.needs_clarification,
        "decision": found.decision,
        "ms": round(outcome.ms, 4),
    }


def _f1(precision: float, recall: float) -> float:
    return round(2 * precision * recall / (precision + recall), 4) if precision + recall else 0.0
