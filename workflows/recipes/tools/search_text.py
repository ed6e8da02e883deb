"""Search text files for a regular expression: `path:line:text`. Runs inside the sandbox, in the workspace's root.

Standard input: {"pattern", "ignore_case", "limit": lines shown, "width": characters of a line shown,
"files": [...]}. Exit code 2: no regular expression.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from pathlib import Path

FILE_BYTES = 1_000_000


def main() -> int:
    asked = json.load(sys.stdin)
    try:
        expression = re.compile(asked["pattern"], re.IGNORECASE if asked["ignore_case"] else 0)
    except (re.error, RecursionError, OverflowError) as error:
        sys.stderr.write(f"{asked['pattern']!r} is not a regular expression: {error}.\n")
        return 2
    for shown, line in enumerate(_hits(expression, asked["files"], asked["width"])):
        if shown == asked["limit"]:
            sys.stdout.write(f"[more than {shown} lines match; narrow the search]\n")
            break
        sys.stdout.write(line + "\n")
    return 0


def _hits(expression: re.Pattern[str], files: list[str], width: int) -> Iterator[str]:
    root = Path.cwd().resolve()
    for name in files:
        path = root / name
        try:
            if not path.resolve().is_relative_to(root) or not path.is_file() or path.stat().st_size > FILE_BYTES:
                continue
            data = path.read_bytes()
        except OSError:
            continue
        if b"\0" in data[:8000]:
            continue
        for number, line in enumerate(data.decode("utf-8", "replace").splitlines(), 1):
            if expression.search(line):
                yield f"{name}:{number}:{line[:width]}"


if __name__ == "__main__":
    sys.exit(main())
