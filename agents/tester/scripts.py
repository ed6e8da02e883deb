"""The commands a Python project installs, by name: tests may run them, and a path on `PYTHONPATH` does not bring them."""

from __future__ import annotations

import configparser
import re
import tomllib
from collections.abc import Mapping
from typing import Any

_ENTRY = re.compile(r"""(?m)^[\s'"\[,]*([\w.-]+)\s*=\s*[\w.]+:[\w.]+""")

_IN_SETUP_PY = re.compile(r"""(?s)console_scripts['"]?\s*[:=]\s*\[.*?\]|\[console_scripts\].*?(?=['"]{3}|\n\[)""")


def declared_scripts(texts: Mapping[str, str]) -> list[str]:
    """Of pyproject.toml, setup.cfg and setup.py; what cannot be read declares none."""
    found = [*_of_pyproject(texts.get("pyproject.toml", "")), *_of_setup_cfg(texts.get("setup.cfg", ""))]
    if match := _IN_SETUP_PY.search(texts.get("setup.py", "")):
        found += [entry[1] for entry in _ENTRY.finditer(match[0].replace(",", "\n").replace("[", "\n"))]
    return list(dict.fromkeys(found))


def _of_pyproject(text: str) -> list[str]:
    try:
        read: Any = tomllib.loads(text)
        tables = (read.get("project", {}).get("scripts", {}), read.get("tool", {}).get("poetry", {}).get("scripts", {}))
        return [str(name) for table in tables for name in table]
    except (tomllib.TOMLDecodeError, RecursionError, AttributeError, TypeError):
        return []


def _of_setup_cfg(text: str) -> list[str]:
    parser = configparser.ConfigParser(interpolation=None, strict=False)
    try:
        parser.read_string(text)
    except configparser.Error:
        return []
    return [entry[1] for entry in _ENTRY.finditer(parser.get("options.entry_points", "console_scripts", fallback=""))]


def misses_script(output: str, scripts: list[str]) -> bool:
    """Whether what the tests printed says that one of the commands is not there."""
    names = "|".join(map(re.escape, scripts))
    signs = rf"No such file or directory: ['\"](?:{names})['\"]|CommandNotFound: (?:{names})\b|\b(?:{names}): (?:command )?not found"
    return bool(scripts) and re.search(signs, output) is not None
