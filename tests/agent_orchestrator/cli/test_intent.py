from __future__ import annotations

import json
from pathlib import Path

from typer.testing import CliRunner

from agent_orchestrator.cli.intent import app

FIGURES = "intent_accuracy intent_macro_f1 task_type_accuracy clarification_f1 false_approvals per_class confusion p50_ms p99_ms load_ms"


def evaluated(file: Path, *options: str) -> dict[str, object]:
    answer = CliRunner().invoke(app, ["eval", str(file), "--json", *options])
    assert answer.exit_code == 0
    figures: dict[str, object] = json.loads(answer.stdout)
    return figures


def test_json_has_the_figures_and_rows_only_when_asked(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text('{"message": "rename a to b", "intent": "task_submission"}\n{"message": "thanks", "intent": "general_query"}\n')
    assert set(evaluated(file)) == set(FIGURES.split())
    with_rows = evaluated(file, "--rows")
    assert set(with_rows) == {*FIGURES.split(), "rows"}
    rows = with_rows["rows"]
    assert isinstance(rows, list)
    assert [row["message"] for row in rows] == ["rename a to b", "thanks"]


def test_an_unreadable_file_is_wrong_usage(tmp_path: Path) -> None:
    assert CliRunner().invoke(app, ["eval", str(tmp_path / "missing.jsonl")]).exit_code == 2
