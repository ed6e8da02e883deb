"""Entry points, `package.module:name` in packaging metadata, that name a renamed definition."""

from __future__ import annotations

import os
import re
from pathlib import Path

from workflows.recipes.tools.python_names import Definition


def entry_points(files: list[str], touched: set[str], target: Definition, old: str, new: str) -> dict[str, tuple[bytes, int]]:
    """New bytes and number of changes of the packaging files that name the symbol as `package.module:name`."""
    from workflows.recipes.tools.rope_project import module_names, source_folders

    if target.local or target.kind == "argument":
        return {}
    folders = source_folders([path for path in files if path.endswith((".py", ".pyi"))])
    modules = sorted({name for path in touched | {target.path} for name in module_names(path, folders)})
    scope = re.escape(target.scope + "." if target.scope else "")
    pattern = re.compile(rf"(?<![\w.])((?:{'|'.join(map(re.escape, modules))}):{scope}){re.escape(old)}(?!\w)".encode())
    found = {}
    for path in files:
        if os.path.basename(path) in ("pyproject.toml", "setup.cfg", "setup.py", "entry_points.txt"):
            data, number = pattern.subn(lambda match: match.group(1) + new.encode(), Path(path).read_bytes())
            if number:
                found[path] = (data, number)
    return found
