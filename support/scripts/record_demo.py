"""`make record`: runs the demo in a pseudo-terminal and draws support/docs/demo.svg from what it really printed."""

from __future__ import annotations

import os
import pty
import re
import sys
from io import StringIO
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parents[2]
WIDTH = 110
PICTURE = ROOT / "support" / "docs" / "demo.svg"
SPINNER = frozenset("⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏")
MOVES = re.compile(r"\x1b\[\d*[A-HJ]|\x1b\[\?\d+[hl]")


def capture() -> str:
    """Everything the demo writes to a terminal of `WIDTH` columns."""
    seen = bytearray()

    def read(descriptor: int) -> bytes:
        data = os.read(descriptor, 65536)
        seen.extend(data)
        return data

    os.environ.update(YES="1", COLUMNS=str(WIDTH), LINES="50", TERM="xterm-256color", COLORTERM="truecolor")
    code = pty.spawn([sys.executable, str(ROOT / "support" / "scripts" / "demo.py")], read)
    if code != 0:
        raise SystemExit(f"the demo ended with {code}")
    return seen.decode("utf-8", "replace")


def settled(output: str) -> list[str]:
    """The lines that stay: a live line that was erased again is gone."""
    lines: list[str] = []
    for raw in output.replace("\r\n", "\n").split("\n"):
        kept = re.split(r"\x1b\[2K", raw)[-1].rsplit("\r", 1)[-1]
        line = MOVES.sub("", kept)
        if not SPINNER.intersection(line):
            lines.append(line)
    return lines


def folded(lines: list[str]) -> list[str]:
    """The long diff of the demo cut in its middle, where it says so: a picture of a few screens is enough."""
    starts = [place for place, line in enumerate(lines) if "diff --git" in line]
    if len(starts) < 3:
        return lines
    cut, go_on = starts[1], starts[-1]
    edge = lines[cut].partition("│")[0] + "│"
    note = f"{edge}\x1b[0m \x1b[2m⋮ {go_on - cut} lines are left out of this picture\x1b[0m"
    return [*lines[:cut], note, *lines[go_on:]]


def main() -> None:
    text = "\n".join(folded(settled(capture()))).replace(str(ROOT), "~/persevere")
    console = Console(record=True, width=WIDTH, file=StringIO(), force_terminal=True, color_system="truecolor", highlight=False)
    console.print(Text.from_ansi(text))
    PICTURE.parent.mkdir(parents=True, exist_ok=True)
    PICTURE.write_text(re.sub(r"\s*@font-face \{.*?\}", "", console.export_svg(title="make demo"), flags=re.DOTALL), encoding="utf-8")


if __name__ == "__main__":
    main()
