from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from agent_orchestrator.cli.render.cost import cost_words
from agent_orchestrator.cli.render.progress import Progress
from agent_orchestrator.cli.render.report import report_panel
from agent_orchestrator.cli.render.tables import key_table, task_table
from shared.types import Json

COST: Json = {"tokens": 12345, "cost_usd": 1.234, "calls": 7, "unpriced_calls": 0}


@pytest.mark.parametrize(
    ("cost", "words"),
    [
        (None, ""),
        ({}, ""),
        ({"tokens": 0, "cost_usd": 0.0}, ""),
        (COST, "12,345 tokens, 1.23 USD"),
        (COST | {"cost_usd": 0.0042}, "12,345 tokens, 0.0042 USD"),
        (COST | {"cost_usd": 0.00000001}, "12,345 tokens, less than 0.0001 USD"),
        (COST | {"cost_usd": 0.0}, "12,345 tokens, 0.00 USD"),
        (COST | {"cost_usd": 1234.5}, "12,345 tokens, 1,234.50 USD"),
        (COST | {"unpriced_calls": 7}, "12,345 tokens, price unknown"),
        (COST | {"unpriced_calls": 1}, "12,345 tokens, 1.23 USD and 1 call of unknown price"),
        (COST | {"unpriced_calls": 2}, "12,345 tokens, 1.23 USD and 2 calls of unknown price"),
    ],
)
def test_cost_in_words(cost: Json | None, words: str) -> None:
    assert cost_words(cost) == words


def shown(thing: object) -> str:
    out = StringIO()
    Console(file=out, width=160, markup=False, highlight=False).print(thing)
    return out.getvalue()


def test_the_list_and_the_report_tell_the_cost() -> None:
    task: Json = {"task_id": "task_a", "status": "completed", "title": "t", "cost": COST}
    assert "12,345 tokens, 1.23 USD" in shown(task_table([task]))
    assert "cost: 12,345 tokens, 1.23 USD" in shown(report_panel(task))
    assert "cost:" not in shown(report_panel(task | {"cost": {"tokens": 0, "cost_usd": 0.0}}))


def test_the_progress_tells_the_cost_so_far_when_a_stage_ends_and_once() -> None:
    out = StringIO()
    progress = Progress(Console(file=out, width=120, markup=False, highlight=False), clock=iter(range(99)).__next__)
    for event in (
        {"type": "usage", "stage": "planning", "total": COST},
        {"type": "log", "stage": "coding", "message": "m"},
        {"type": "log", "stage": "testing", "message": "m"},
    ):
        progress.event(event)
    assert out.getvalue().count("so far 12,345 tokens, 1.23 USD") == 1
    assert "1.23 USD" in progress.current().plain


def test_keys_are_listed_without_control_characters() -> None:
    key: Json = {"provider": "openai", "name": "\x1b[31mmine", "last_four": "WXYZ", "created_at": ""}
    text = shown(key_table([key]))
    assert "WXYZ" in text
    assert "\x1b" not in text
