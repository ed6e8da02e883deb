from __future__ import annotations

from io import StringIO

from rich.console import Console, RenderableType

from agent_orchestrator.cli.render.approval import approval_panel, colour_diff
from agent_orchestrator.cli.render.report import look_line, report_panel, waiting_lines
from shared.types import Json

PLAN: Json = {
    "approval_id": "appr_1",
    "gate": "plan",
    "title": "Go ahead? [red]\x1b[31m",
    "subject": {
        "summary": "Rename",
        "steps": [{"title": "Rename a to b", "files": ["x.py", "y\x1b.py"]}, {"title": "Check", "detail": "d"}],
    },
    "risk": {"level": "high", "reasons": ["many files"]},
    "approvers": ["dba"],
}
DIFF: Json = {
    "gate": "diff",
    "title": "Open a pull request?",
    "subject": {
        "diff_text": "diff --git a/x b/x\n@@ -1 +1 @@\n-old\r\n+new\x1b[2J",
        "stats": {"files": 1, "insertions": 1, "deletions": 1},
        "test_results": {"verdict": "failed", "passed": 3, "failed": 1, "newly_failing": ["t.one"], "failing_before": ["t.old"]},
    },
    "risk": {"level": "low"},
}


def shown(value: RenderableType, width: int = 100) -> str:
    console = Console(file=StringIO(), width=width, markup=False, highlight=False, emoji=False)
    console.print(value)
    file = console.file
    assert isinstance(file, StringIO)
    return file.getvalue()


def test_a_plan_is_numbered_steps_with_files_and_risk() -> None:
    text = shown(approval_panel(PLAN))
    for part in ("1. Rename a to b", "x.py", "2. Check", "risk: high (many files)", "approvers: dba", "[red]"):
        assert part in text
    assert "\x1b" not in text


SINGLE: Json = {
    "gate": "plan",
    "title": "Go ahead with this plan? Rename `a` to `b` in 2 files.",
    "subject": {
        "summary": "Rename `a` to `b` in 2 files.",
        "steps": [{"title": "Rename `a` to `b`", "detail": "3 occurrences.", "files": ["x.py"]}],
        "acceptance_criteria": ["Nothing of `a` is left.", "Every file compiles."],
        "tests": ["The repository's own."],
    },
}


def test_a_plan_says_its_sentence_once() -> None:
    text = shown(approval_panel(SINGLE))
    assert text.count("Rename `a`") == 1
    assert "1. 3 occurrences." in text
    for part in ("accepted when:", "- Nothing of `a` is left.", "- Every file compiles.", "tests: The repository's own."):
        assert part in text
    assert ".;" not in text


def test_long_lines_go_on_below_their_own_beginning() -> None:
    raw = shown(approval_panel(SINGLE), width=24).split("\n")
    assert raw[[line.strip("│ ") for line in raw].index("- Nothing of `a`") + 1].startswith("│     is left.")


def test_a_diff_has_the_evidence_beside_it() -> None:
    text = shown(approval_panel(DIFF))
    for part in ("1 file changed, +1 -1", "-old␍", "tests: failed", "3 passed, 1 failed", "newly failing (1)", "t.one", "t.old"):
        assert part in text
    assert "\x1b" not in text


def test_a_diff_is_coloured_by_line() -> None:
    assert [line.style for line in colour_diff(["+++ b/x", "+new", "-old", "@@ -1", " same"])] == [
        "bold",
        "green",
        "red",
        "cyan",
        "default",
    ]


def test_blob_ids_are_as_short_as_git_shows_them() -> None:
    lines = colour_diff([f"index {'a' * 40}..{'b' * 40} 100644", f"index {'0' * 40}..{'c' * 40}", f"+index {'a' * 40}..{'b' * 40}"])
    assert [line.plain for line in lines] == ["index aaaaaaa..bbbbbbb 100644", "index 0000000..ccccccc", f"+index {'a' * 40}..{'b' * 40}"]


def test_a_report_says_where_to_look_or_what_next() -> None:
    task: Json = {
        "task_id": "task_1",
        "title": "t",
        "status": "completed",
        "pr_url": "http://x/1",
        "branch": "persevere/1",
        "base_branch": "main",
        "repo": "/a b",
    }
    assert str(look_line(task)) == "git -C '/a b' diff main..persevere/1"
    failed: Json = {"task_id": "task_1", "status": "failed", "error": {"code": "x", "message": "It broke.", "next_step": "Mend it."}}
    assert "next: Mend it." in shown(report_panel(failed))
    assert look_line(failed) is None


def test_waiting_says_how_to_decide() -> None:
    text = "\n".join(str(line) for line in waiting_lines({**PLAN, "task_id": "task_1"}))
    assert "persevere approvals approve appr_1" in text
    assert "persevere resume task_1" in text


def test_a_review_is_shown_beside_the_tests() -> None:
    comments = [{"severity": "blocker", "file": "x.py", "line": 3, "comment": "It is\x1b[2J lost."}]
    comments += [{"severity": "note", "file": "y.py", "line": number, "comment": "Hm."} for number in range(1, 41)]
    review = {"verdict": "needs_changes", "summary": "Nearly.", "by": "openai:big", "comments": comments}
    text = shown(approval_panel({**DIFF, "subject": {**DIFF["subject"], "review": review}}))
    for part in (
        "review: needs changes (1 blocker, 40 notes), by openai:big",
        "Nearly.",
        "- blocker x.py:3: It is",
        "and 11 more",
        "review.md",
    ):
        assert part in text
    assert "\x1b" not in text
    assert "review:" not in shown(approval_panel({**DIFF, "subject": {**DIFF["subject"], "review": None}}))


def test_a_change_may_be_sent_back_or_taken_over() -> None:
    text = "\n".join(str(line) for line in waiting_lines({**DIFF, "approval_id": "appr_1", "task_id": "task_1"}))
    assert "persevere approvals take-over appr_1" in text
    assert "persevere approvals respond appr_1 --comment" in text
    assert "take-over" not in "\n".join(str(line) for line in waiting_lines(PLAN))
    taken: Json = {
        "task_id": "t",
        "status": "completed",
        "outcome": "taken_over",
        "branch": "persevere/1",
        "base_branch": "main",
        "repo": "/r",
    }
    assert "branch: persevere/1 (yours to go on with)" in shown(report_panel(taken))
    assert str(look_line(taken)) == "git -C /r diff main..persevere/1"
