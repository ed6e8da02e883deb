"""Print the entries of a lock file, hashes and all, of the packages that a list names: `locked.py requirements.lock tools.txt`."""

from __future__ import annotations

import re
import sys
from pathlib import Path


def choose(text: str, names: set[str]) -> str:
    """The entries in the order of the file. SystemExit names the packages that are missing."""
    entries = {found[1]: found[0] for found in re.finditer(r"^([\w.-]+)==(?:.*\\\n)*.*\n", text, re.MULTILINE)}
    if missing := names - entries.keys():
        raise SystemExit(f"not locked: {', '.join(sorted(missing))}")
    return "".join(entry for name, entry in entries.items() if name in names)


if __name__ == "__main__":
    sys.stdout.write(choose(Path(sys.argv[1]).read_text(), set(Path(sys.argv[2]).read_text().split())))
