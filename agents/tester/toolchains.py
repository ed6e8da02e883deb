"""Runners that are not Python's: where they are on this machine and what the sandbox must see of them."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from agents.tester.values import TestSetup

_SYSTEM = ("/usr/", "/bin/", "/sbin/")


@dataclass(frozen=True)
class Toolchains:
    """`folders` to show read-only, `path` entries for PATH, `missing` programs."""

    folders: Sequence[Path] = ()
    path: Sequence[str] = ()
    environment: dict[str, str] = field(default_factory=dict)
    missing: Sequence[str] = ()


async def find_toolchains(setup: TestSetup) -> Toolchains:
    """The programs the set-up's commands start with, links resolved to the folders that must be readable."""
    folders: list[Path] = []
    path: list[str] = []
    missing: list[str] = []
    environment: dict[str, str] = {}
    words = " ".join(word for command in setup.commands for word in command.argv)
    names = {command.argv[0] for command in setup.commands if "/" not in command.argv[0] and command.argv[0] != "{python}"}
    names |= {name for name in ("cargo", "go", "node") if name in words.split()}
    if names & {"npm", "pnpm", "yarn"}:
        names.add("node")
    for name in sorted(names):
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
    if "cargo" in names:
        environment["CARGO_TERM_COLOR"] = "never"
    return Toolchains(folders, path, environment, missing)


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
