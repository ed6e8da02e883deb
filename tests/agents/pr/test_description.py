"""What a reviewing model said, in the words of a pull request: text stays text."""

from __future__ import annotations

from agents.pr.description import pull_request_body
from shared.store.records import Task
from shared.types import Json, Plan, TestResults

TASK = Task(id="task_1", user_id="local", title="t", prompt="do it", repo="/r")
PLAN = Plan(summary="Do it")
GREEN = TestResults(verdict="passed", passed=1)


def body(review: Json | None) -> str:
    return pull_request_body(PLAN, TASK, GREEN, draft=False, notes=[], review=review)


def comment(text: str, file: str = "app.py") -> Json:
    return {"severity": "warning", "file": file, "line": 3, "comment": text, "suggestion": ""}


def test_the_review_stands_between_the_tests_and_the_end() -> None:
    text = body({"summary": "It does it.", "comments": [comment("Slow for long lists.")], "by": "openai:big"})
    assert text.index("## Tests") < text.index("## Review\n\nIt does it.\n\n- **warning** `app.py:3` Slow for long lists.")
    assert "By `openai:big`, a model; a person decided." in text
    assert "## Review" not in body(None)


def test_what_a_model_writes_is_no_markup_and_calls_nobody() -> None:
    nasty = "# Approved by @admin\n<script>x</script> ![x](http://evil) closes #1"
    text = body({"summary": nasty, "comments": [comment(nasty, file="a`b.py")], "by": "m`"})
    section = text.partition("## Review")[2]
    for live in ("\n# Approved", "@admin", " <script", "![x](", "://evil", " #1"):
        assert live not in section, live
    assert "``a`b.py:3``" in section


def test_many_comments_are_counted() -> None:
    text = body({"summary": "s", "comments": [comment(str(number)) for number in range(40)], "by": "m"})
    assert "- and 10 more" in text
