"""Runners that are not Python's: where they are, on this machine or inside, and what the sandbox must see of them."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agents.tester.values import TestSetup
from shared.sandbox.port import Command, Sandbox

_SYSTEM = ("/usr/", "/bin/", "/sbin/")


@dataclass(frozen=True)
class Toolchains:
    """`folders` to show read-only, `path` entries for PATH, `missing` programs."""

    folders: Sequence[Path] = ()
    path: Sequence[str] = ()
    environment: dict[str, str] = field(default_factory=dict)
    missing: Sequence[str] = ()


def programs(setup: TestSetup) -> list[str]:
    """What the set-up's commands start with and what those need."""
    words = " ".join(word for command in setup.commands for word in command.argv)
    names = {command.argv[0] for command in setup.commands if "/" not in command.argv[0] and command.argv[0] != "{python}"}
    names |= {name for name in ("cargo", "go", "node") if name in words.split()}
    if names & {"npm", "pnpm", "yarn"}:
        names.add("node")
    return sorted(names)


async def look_inside(setup: TestSetup, sandbox: Sandbox) -> Toolchains:
    """For a sandbox with programs of its own: which of them it lacks."""
    names = programs(setup)
    script = 'for name in "$@"; do command -v "$name" >/dev/null || echo "$name"; done'
    found = await sandbox.run(Command(["/bin/sh", "-c", script, "sh", *names], timeout_s=30))
    return Toolchains(environment=_environment(names), missing=found.stdout.split())


def _environment(names: Sequence[str]) -> dict[str, str]:
    return {"CARGO_TERM_COLOR": "never"} if "cargo" in names else {}


async def find_toolchains(setup: TestSetup) -> Toolchains:
    """Where the programs are on this machine, links resolved to the folders that must be readable."""
    folders: list[Path] = []
    path: list[str] = []
    missing: list[str] = []
    names = programs(setup)
    for name in names:
        found = shutil.which(name)
        if found is None:
            missing.append(name)
            continue
        home = await _rust_home() if name == "cargo" else Path(found).resolve().parent.parent
        if home is None:
            missing.append(name)
        elif not f"{home}/".startswith(_SYSTEM):
            folders.append(home)
            path.append(str(home / "bin"))
    return Toolchains(folders, path, _environment(names), missing)


async def _rust_home() -> Path | None:
    """The toolchain's own folder: rustup's launchers need a home folder that the sandbox has not."""
    compiler = shutil.which("rustc")
    if compiler is None:
        return None
    process = await asyncio.create_subprocess_exec(
        compiler, "--print", "sysroot", cwd="/", stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        output, _ = await asyncio.wait_for(process.communicate(), 20)
    except TimeoutError:
        process.kill()
        return None
    folder = Path(output.decode().strip())
    return folder if process.returncode == 0 and folder.is_dir() else None
