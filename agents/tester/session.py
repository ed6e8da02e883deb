"""Detecting, preparing and running in the task's disposable workspaces."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

from pydantic import Field

from agents.context import OpenWorkspace, TaskContext
from agents.tester.detect import detect, files_to_read
from agents.tester.environment import TesterEnvironments, in_use
from agents.tester.install import InstallError
from agents.tester.run import WorkspaceRun
from agents.tester.toolchains import Toolchains, find_toolchains, look_inside
from agents.tester.values import PYTHON, RunReport, TestSetup
from shared.errors import PersevereError
from shared.sandbox.port import Sandbox
from shared.types import Stage, Value

_MAX_READ = 1_000_000


class Prepared(Value):
    """Cached environments by host path, and why there is none. `setup` is what will be run, which may be the fallback."""

    setup: TestSetup
    python: str | None = None
    node: dict[str, str] = Field(default_factory=dict)
    failed: dict[str, str] = Field(default_factory=dict)
    """Reasons by the name of what could not be installed; the commands that do not need it are run."""
    error: str = ""
    """Set when nothing can be run."""


class TestSession:
    """One task's testing. Live handles; never part of the state."""

    __test__ = False

    def __init__(self, context: TaskContext) -> None:
        self._context = context
        self._environments = TesterEnvironments(context.environments, context.workspaces.system)
        self._test_limit = float(context.limits.get("test_timeout_s") or 600)
        self._setup_limit = float(context.limits.get("setup_timeout_s") or 600)

    async def detect(self, name: str, patch: bytes) -> TestSetup | None:
        async with self._context.workspaces.open(name, patch) as workspace:
            files = list(await workspace.files())
            contents = {}
            for path in files_to_read(files):
                data = await _read(workspace, path)
                if data is not None:
                    contents[path] = data
        return await asyncio.to_thread(detect, files, contents, self._context.config)

    async def prepare(self, setup: TestSetup) -> Prepared:
        """Build or find the environments; pytest that cannot be had gives way to unittest where that runs every test."""
        prepared = await self._prepare(setup)
        lack = prepared.failed.get(PYTHON)
        if lack and setup.fallback and setup.python is not None:
            await self._log(f"{lack}; the tests are run by unittest instead")
            rest = [line for line in setup.python.requirements if not line.lower().startswith("pytest")]
            others = [command for command in setup.commands if command.kind != "pytest"]
            needs = setup.python.model_copy(update={"requirements": rest})
            return await self.prepare(setup.model_copy(update={"commands": setup.fallback + others, "fallback": [], "python": needs}))
        reasons = [setup.blocked(command, prepared.failed) for command in setup.commands]
        if reasons and all(reasons):
            return Prepared(setup=setup, error=f"The tests cannot be run: {' '.join(dict.fromkeys(reasons))}")
        for reason in prepared.failed.values():
            await self._log(f"{reason}; the other tests are run")
        return prepared

    async def _prepare(self, setup: TestSetup) -> Prepared:
        python: str | None = None
        node: dict[str, str] = {}
        failed: dict[str, str] = {}
        if setup.python is not None and not (setup.python.is_empty and not setup.setup):
            try:
                python = str(await self._environments.python(setup.python, self._open, self._setup_limit, self._log))
            except InstallError as exc:
                failed[PYTHON] = str(exc)
        for needs in setup.node:
            if not needs.in_place:
                try:
                    node[needs.cwd] = str(await self._environments.node(needs, self._open, self._setup_limit, self._log))
                except InstallError as exc:
                    failed[needs.name] = str(exc)
        return Prepared(setup=setup, python=python, node=node, failed=failed)

    async def run(self, name: str, patch: bytes, prepared: Prepared) -> tuple[RunReport, str]:
        """The report and everything that was printed, bounded."""
        if any(not Path(home).exists() for home in filter(None, [prepared.python, *prepared.node.values()])):
            prepared = await self.prepare(prepared.setup)
        if prepared.error:
            return RunReport(error=prepared.error), prepared.error + "\n"
        async with contextlib.AsyncExitStack() as stack:
            for home in filter(None, [prepared.python, *prepared.node.values()]):
                await stack.enter_async_context(in_use(home))
            return await self._run(name, patch, prepared)

    async def _run(self, name: str, patch: bytes, prepared: Prepared) -> tuple[RunReport, str]:
        host = self._context.workspaces.system.host
        tools = await find_toolchains(prepared.setup) if host else Toolchains()
        readable = [Path(path) for path in filter(None, [prepared.python, *prepared.node.values()])] + list(tools.folders)
        async with self._context.workspaces.open(name, patch, readable=readable) as workspace:
            run = WorkspaceRun(
                sandbox=workspace.sandbox,
                setup=prepared.setup,
                toolchains=tools if host else await look_inside(prepared.setup, workspace.sandbox),
                python_home=Path(prepared.python) if prepared.python else None,
                node_homes={cwd: Path(path) for cwd, path in prepared.node.items()},
                timeout_s=self._test_limit,
                setup_timeout_s=self._setup_limit,
                failures=self._environments.failures,
                failed=dict(prepared.failed),
                log=self._log,
            )
            report = await run.run()
        return report, "\n".join(run.output)

    @contextlib.asynccontextmanager
    async def _open(self, folder: Path) -> AsyncIterator[Sandbox]:
        async with self._context.workspaces.open("test-environment", writable=[folder]) as workspace:
            yield workspace.sandbox

    async def _log(self, message: str) -> None:
        await self._context.journal.log(Stage.DEPENDENCIES if message.startswith("install") else Stage.TESTING, message)


async def _read(workspace: OpenWorkspace, path: str) -> bytes | None:
    """A link that leads outside, or a file that is gone, counts as absent."""
    try:
        data = await workspace.read(path)
    except PersevereError:
        return None
    return data[:_MAX_READ]
