from __future__ import annotations

import json
from pathlib import Path

import pytest

from shared.errors import InvalidRequestError
from shared.intent.evaluate import Labelled, Outcome, binary_f1, load_rows, measure, percentile, row_report, run
from shared.intent.port import Intent, Recognition
from shared.intent.rules import RulesRecogniser


def outcome(label: str, answer: Intent, task_type: str | None = None, found_type: str | None = None) -> Outcome:
    return Outcome(Labelled("1", "m", (), label, task_type), Recognition(answer, 0.5, task_type=found_type), 1.0)


def test_figures() -> None:
    figures = measure(
        [
            outcome("task_submission", Intent.TASK_SUBMISSION, "test", "test"),
            outcome("task_submission", Intent.STATUS_QUERY, "test", None),
            outcome("general_query", Intent.APPROVAL_ACTION),
            outcome("status_query", Intent.STATUS_QUERY),
        ],
        load_ms=2.0,
    )
    assert figures["intent_accuracy"] == 0.5
    assert figures["task_type_accuracy"] == 0.5
    assert figures["false_approvals"] == 1
    assert figures["clarification_f1"] is None
    assert figures["per_class"]["status_query"] == {"precision": 0.5, "recall": 1.0, "f1": 0.6667, "support": 1}
    assert figures["confusion"]["task_submission"] == {"status_query": 1, "task_submission": 1}
    assert figures["load_ms"] == 2.0


def test_small_measures() -> None:
    assert binary_f1([]) is None
    assert binary_f1([(True, True), (False, True), (True, False)]) == 0.5
    assert percentile([], 50) == 0.0
    assert percentile([1, 2, 3, 4], 50) == 2
    assert percentile([1, 2, 3, 4], 99) == 4


async def test_rows_are_read_and_run(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    row = {"id": "a", "message": "yes", "history": [{"role": "assistant", "content": "Do you approve?"}], "intent": "approval_action"}
    file.write_text(json.dumps(row) + "\n\n")
    (only,) = await run(RulesRecogniser(), load_rows(file))
    assert row_report(only)["decision"] == "approve"


@pytest.mark.parametrize("line", ["{", "[]", '{"message": "x"}', '{"message": "x", "intent": "nonsense"}', ""])
def test_unreadable_rows_are_named(tmp_path: Path, line: str) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(line)
    with pytest.raises(InvalidRequestError):
        load_rows(file)


def test_figures_are_exactly_the_published_ones() -> None:
    names = "intent_accuracy intent_macro_f1 task_type_accuracy clarification_f1 false_approvals per_class confusion p50_ms p99_ms load_ms"
    assert set(measure([outcome("status_query", Intent.STATUS_QUERY)])) == set(names.split())
