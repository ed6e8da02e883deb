"""The test environment for whoever else works in the repository: a model that runs the tests while it changes the code."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from agents.context import Equipment, TaskContext
from agents.tester.install import brief
from agents.tester.session import Prepared, TestSession
from agents.tester.toolchains import find_toolchains

_SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"


async def equip(context: TaskContext) -> Equipment:
    """What the base commit's tests need, installed or found, and the commands that run them. What cannot be had is said, not raised."""
    session = TestSession(context)
    setup = await session.detect("equip", b"")
    if setup is None:
        return Equipment(said="The repository has no tests that Persevere knows how to run.")
    prepared = await session.prepare(setup)
    lacks = [prepared.error] if prepared.error else list(prepared.failed.values())
    commands = "; ".join(f"`{command.text}`" for command in prepared.setup.commands)
    said = f"The tests are run by {commands}." + "".join(f" {brief(reason)}" for reason in lacks)
    return await _equipment(context, prepared, said)


async def _equipment(context: TaskContext, prepared: Prepared, said: str) -> Equipment:
    system, setup = context.workspaces.system, prepared.setup
    tools = await find_toolchains(setup) if system.host else None
    folders = [f"{home}/bin" for home in [prepared.python] if home] + [f"{home}/node_modules/.bin" for home in prepared.node.values()]
    if setup.python is not None and not prepared.python:
        folders.append(str(PurePosixPath(system.python).parent))
    environment = {"PATH": ":".join([*folders, *(tools.path if tools else ()), _SYSTEM_PATH]), **(tools.environment if tools else {})}
    if prepared.python:
        environment["VIRTUAL_ENV"] = prepared.python
    if prepared.node:
        environment["NODE_PATH"] = ":".join(f"{home}/node_modules" for home in prepared.node.values())
    homes = [Path(home) for home in (prepared.python, *prepared.node.values()) if home]
    return Equipment((*homes, *(tools.folders if tools else ())), environment, tuple(setup.python_path), said)
