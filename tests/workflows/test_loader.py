from __future__ import annotations

from pathlib import Path

import pytest

from shared.errors import NotFoundError, SettingsError
from shared.intent.port import TASK_TYPES
from workflows.loader import load_workflows


def test_every_task_type_has_a_workflow() -> None:
    assert set(load_workflows().by_name) >= set(TASK_TYPES)


def test_an_unknown_workflow_names_the_valid_ones() -> None:
    with pytest.raises(NotFoundError) as caught:
        load_workflows().get("gardening")
    assert "bug_fix" in caught.value.next_step


def test_a_new_workflow_needs_no_python(tmp_path: Path) -> None:
    (tmp_path / "gardening.yaml").write_text("title: Gardening\nstages: [planner, coder, pr]\ngates: [diff]\nlimits: {repairs: 0}\n")
    workflow = load_workflows(tmp_path).get("gardening")
    assert workflow.stages == ["planner", "coder", "pr"]
    assert workflow.limits.repairs == 0


@pytest.mark.parametrize(
    "text",
    [
        "title: x\nstages: [coder]\ngates: []\n",
        "title: x\nstages: [planner, tester, coder]\ngates: []\n",
        "title: x\nstages: [planner, pr]\ngates: []\n",
        "title: x\nstages: [planner]\ngates: [diff]\n",
        "- not a mapping\n",
        "title: x\nstages: [planner]\ngates: []\ncolour: blue\n",
        "title: [\n",
    ],
)
def test_a_wrong_workflow_is_named(text: str, tmp_path: Path) -> None:
    (tmp_path / "broken.yaml").write_text(text)
    with pytest.raises(SettingsError) as caught:
        load_workflows(tmp_path)
    assert "broken.yaml" in caught.value.message
