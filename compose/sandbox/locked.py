"""Print the entries of a lock file, hashes and all, of the packages named: `locked.py requirements.lock NAME...`."""

from __future__ import annotations

import re
import sys
from pathlib import Path


def choose(text: str, names: list[str]) -> str:
    """The entries in the order of the file. SystemExit names the packages that are missing."""
    entries = re.findall(r"^([\w.-]+)==(?:.*\\\n)*.*\n", text, re.MULTILINE)
    missing = set(names) - set(entries)
    if missing:
        raise SystemExit(f"not locked: {', '.join(sorted(missing))}")
    blocks = re.finditer(r"^([\w.-]+)==(?:.*\\\n)*.*\n", text, re.MULTILINE)
    return "".join(block[0] for block in blocks if block[1] in names)


if __name__ == "__main__":
    sys.stdout.write(choose(Path(sys.argv[1]).read_text(), sys.argv[2:]))
