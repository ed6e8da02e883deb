"""Where a name stands in code, in f-strings too."""

from __future__ import annotations

import pytest

from workflows.recipes.tools.code_words import code_offsets, only_code


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("old = old2 + x.old", [0, 15]),
        ("# old\nold", [6]),
        ('\'old\' """old\nold""" old', [20]),
        ('f"old {old}"', [7]),
        ('f"""é\n {k.old!r:>{old}} {{old}} {"old"}"""', [10, 18]),
        ("rf'{old}' b'old'", [4]),
        ("f'{x[\"old\"]} {old:old} {a != old}'", [14, 29]),
        ('"unended old', []),
        (r"'\' old' old", [9]),
    ],
)
def test_code_offsets(text: str, expected: list[int]) -> None:
    assert list(code_offsets(text, "old")) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("x = 'a(' # (\ny", 'x = "  "    \ny'),
        ("f'def ({x.y!r:>{w}} {a[\"(\"]}' + y", 'f"     {x.y}    {w}  {a["   "]}" + y'.replace('"   "', '" "', 1)),
        ('f"(\n{x}\n"', 'f"    {x}   "'),
        ("''", '""'),
    ],
)
def test_only_code(text: str, expected: str) -> None:
    assert (len(only_code(text)), only_code(text).split()) == (len(text), expected.split())
