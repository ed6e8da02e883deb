"""Choosing a sandbox: by name, or the strongest that works here."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from shared.errors import SandboxError
from shared.sandbox.port import SandboxProvider

_UNSAFE = "or, only for code you trust, set PERSEVERE_SANDBOX=process, which is unsafe: it isolates nothing"


def _bubblewrap(data_dir: Path) -> SandboxProvider:
    from shared.sandbox.bubblewrap import BubblewrapProvider

    return BubblewrapProvider()


def _landlock(data_dir: Path) -> SandboxProvider:
    from shared.sandbox.landlock import LandlockProvider

    return LandlockProvider(data_dir)


def _process(data_dir: Path) -> SandboxProvider:
    from shared.sandbox.process import ProcessProvider

    return ProcessProvider(data_dir)


PROVIDERS: dict[str, Callable[[Path], SandboxProvider]] = {"bubblewrap": _bubblewrap, "landlock": _landlock, "process": _process}
"""Strongest first."""


async def choose_sandbox(setting: str, *, data_dir: Path) -> SandboxProvider:
    """The provider of that name, or for `auto` the strongest isolated one whose probe works. SandboxError says what to do otherwise."""
    if setting != "auto" and setting not in PROVIDERS:
        raise SandboxError(f"There is no sandbox named {setting!r}.", f"Use one of: auto, {', '.join(PROVIDERS)}.")
    reasons = []
    next_step = ""
    for name in PROVIDERS if setting == "auto" else [setting]:
        if setting == "auto" and name == "process":
            continue
        if name != "process" and sys.platform != "linux":
            reasons.append(f"{name} needs Linux")
            continue
        provider = PROVIDERS[name](data_dir)
        probe = await provider.probe()
        if probe.works:
            return provider
        reasons.append(probe.reason)
        next_step = next_step or probe.next_step
    raise SandboxError(
        f"No sandbox works here: {'; '.join(reasons)}.", f"{next_step or 'Install bubblewrap: apt-get install bubblewrap'}, {_UNSAFE}."
    )
