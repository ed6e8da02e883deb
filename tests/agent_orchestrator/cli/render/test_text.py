from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent_orchestrator.cli.render.text import clean, seconds, shorten


@pytest.mark.parametrize("evil", ["\x1b[31m", "\x1b]0;title\x07", "\x9b31m", "\u202eabc", "\u2066x", "a\rb", "\x00", "\x7f", "\u200f"])
def test_nothing_that_drives_a_terminal_is_left(evil: str) -> None:
    assert clean(evil).isprintable()


@given(st.text())
def test_every_text_becomes_printable(text: str) -> None:
    assert all(line.isprintable() for line in clean(text).split("\n"))
    assert clean(text, lines=False).isprintable()
    assert len(shorten(text, 20)) <= 20


def test_ordinary_text_stays() -> None:
    assert clean("Grüße, 世界 [bold]") == "Grüße, 世界 [bold]"
    assert clean("a\tb\r\nc") == "a   b\nc"


@pytest.mark.parametrize(("value", "told"), [(0.04, "0.0 s"), (9.94, "9.9 s"), (9.96, "10 s"), (89, "89 s"), (185, "3 min 05 s")])
def test_durations(value: float, told: str) -> None:
    assert seconds(value) == told
