from __future__ import annotations

from io import StringIO

from rich.console import Console

from agent_orchestrator.cli.render.progress import Progress
from shared.types import Json


def run(events: list[Json], *, log: bool = False, terminal: bool = False) -> str:
    out = StringIO()
    progress = Progress(
        Console(file=out, width=120, force_terminal=terminal, markup=False, highlight=False), log=log, clock=iter(range(99)).__next__
    )
    progress.start()
    for event in events:
        progress.event(event)
    progress.stop()
    return out.getvalue()


EVENTS: list[Json] = [
    {"seq": 1, "type": "log", "stage": "planning", "message": "reading \x1b[31mfiles", "level": "info"},
    {"seq": 2, "type": "plan_ready", "stage": "planning", "plan": {"summary": "Rename a"}},
    {"seq": 3, "type": "diff_ready", "stage": "coding", "stats": {"files": 2, "insertions": 3, "deletions": 3}},
    {"seq": 4, "type": "test_results", "stage": "testing", "results": {"verdict": "passed", "passed": 7}},
    {"seq": 5, "type": "something_new", "stage": "a_new_stage"},
]


def test_plain_lines_name_each_stage_and_what_came_of_it() -> None:
    text = run(EVENTS)
    for part in ("[planning] planning", "plan: Rename a", "[coding]", "2 files changed, +3 -3", "tests: passed (7 passed"):
        assert part in text
    assert "reading" not in text
    assert "\x1b" not in text


def test_the_log_is_shown_on_demand_and_warnings_always() -> None:
    assert "reading ␛[31mfiles" in run(EVENTS, log=True)
    assert "careful" in run([{"seq": 1, "type": "log", "stage": "coding", "message": "careful", "level": "warning"}])


def test_a_terminal_gets_a_live_line_with_elapsed_time() -> None:
    text = run(EVENTS[:1], terminal=True)
    assert "planning" in text
    assert " s" in text


def test_a_plan_that_is_asked_about_is_not_told_twice() -> None:
    asked = run([*EVENTS[:2], {"seq": 3, "type": "approval_required", "stage": "review", "approval": {}}])
    assert "planned" in asked
    assert "Rename a" not in asked


def test_a_decision_made_here_is_told_once() -> None:
    out = StringIO()
    progress = Progress(Console(file=out, width=120, markup=False, highlight=False))
    progress.decided({"approval_id": "appr_1", "status": "approved"}, "approved by --yes (risk low)")
    for number, by in ((1, "local"), (2, "anna")):
        progress.event({"type": "approval_decided", "stage": "review", "approval_id": f"appr_{number}", "decision": "approve", "by": by})
    assert out.getvalue().splitlines() == ["✓ approved by --yes (risk low)", "✓ approved by anna"]


def test_the_live_line_is_one_line_however_narrow_the_terminal() -> None:
    console = Console(file=StringIO(), width=30, force_terminal=True)
    progress = Progress(console)
    progress.event({"type": "log", "stage": "coding", "message": "a long line " * 9})
    assert len(console.render_lines(progress._line())) == 1


def test_after_a_decision_it_goes_on_or_waits_for_the_second_person() -> None:
    progress = Progress(Console(file=StringIO()))
    progress.event({"type": "approval_required", "stage": "review", "approval": {}})
    progress.decided({"approval_id": "appr_1", "status": "pending"}, None)
    assert "waiting for a decision" in progress.current().plain
    progress.decided({"approval_id": "appr_1", "status": "approved"}, None)
    assert "going on" in progress.current().plain


REVIEW: list[Json] = [
    {"seq": 1, "type": "log", "stage": "review", "message": "reviewing with a model", "level": "info"},
    {
        "seq": 2,
        "type": "review_ready",
        "stage": "review",
        "review": {"verdict": "needs_changes", "by": "openai:big", "comments": [{"severity": "blocker"}, {"severity": "note"}]},
    },
]


def test_a_model_s_review_is_told_and_is_no_wait_for_a_decision() -> None:
    text = run(REVIEW)
    assert "[review] a model reads the change" in text
    assert "! review: needs changes (1 blocker, 1 note), by openai:big" in text
    live = Progress(Console(file=StringIO(), width=120, force_terminal=True))
    live.event(REVIEW[0])
    assert "a model reads the change" in live.current().plain
    live.event({"seq": 3, "type": "approval_required", "stage": "review", "approval": {}})
    assert "waiting for a decision" in live.current().plain
