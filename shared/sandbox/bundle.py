"""The program that runs inside, as the arguments that start it and the line it reads first: nothing has to be installed or uploaded."""

from __future__ import annotations

import json
import zlib
from base64 import b64encode
from functools import lru_cache
from importlib import import_module
from pathlib import Path
from typing import Any

_PACKAGES = ("shared", "shared.sandbox", "shared.sandbox.inside")
_MODULES = (
    "shared.errors",
    "shared.sandbox.limits",
    "shared.sandbox.seccomp",
    "shared.sandbox.launcher",
    "shared.sandbox.workspace",
    *(
        f"shared.sandbox.inside.{name}"
        for name in ("frames", "folders", "archive", "work", "processes", "operations", "watch", "tunnel", "runner")
    ),
)
"""In the order in which they need each other; all of them use only the standard library."""

_START = """
import base64, json, os, sys, types, zlib
line = b""
while not line.endswith(b"\\n"):
    part = os.read(0, 1)
    if not part: os._exit(1)
    line += part
size = int(line)
text = b""
while len(text) < size:
    text += os.read(0, size - len(text))
told = json.loads(zlib.decompress(base64.b64decode(text)))
for name in told["packages"]:
    sys.modules[name] = types.ModuleType(name); sys.modules[name].__path__ = []
for name, source in told["modules"]:
    module = types.ModuleType(name); module.__package__ = name.rpartition(".")[0]; sys.modules[name] = module
    parent = sys.modules[module.__package__]; setattr(parent, name.rpartition(".")[2], module)
    exec(compile(source, name, "exec"), module.__dict__)
sys.modules["shared.sandbox.inside.runner"].main(told["options"])
"""


def start_arguments(python: str) -> list[str]:
    """Isolated from the environment, and without site packages: a program inside cannot change what we run."""
    return [python, "-I", "-S", "-c", _START]


def first_lines(options: dict[str, Any]) -> bytes:
    """What to write first: text, so that it passes anywhere. `options` as `inside.runner.main` takes them."""
    told = {"packages": _PACKAGES, "modules": _sources(), "options": options}
    text = b64encode(zlib.compress(json.dumps(told).encode()))
    return b"%d\n%s" % (len(text), text)


@lru_cache(maxsize=1)
def _sources() -> list[tuple[str, str]]:
    found = []
    for name in _MODULES:
        file = import_module(name).__file__
        found.append((name, Path(str(file)).read_text()))
    return found
