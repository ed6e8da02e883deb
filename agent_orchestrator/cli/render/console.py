"""The console that everything is printed on: no markup, no emoji codes, no guessing of colours in other people's text."""

from __future__ import annotations

import os
import sys
from typing import IO

from rich.console import Console

PLAIN_WIDTH = 120


def open_console(file: IO[str] | None = None) -> Console:
    """Writes to standard output. Without a terminal lines are `PLAIN_WIDTH` wide unless COLUMNS says otherwise."""
    plain = not (file or sys.stdout).isatty()
    width = PLAIN_WIDTH if plain and not os.environ.get("COLUMNS") else None
    return Console(file=file, markup=False, highlight=False, emoji=False, width=width)
