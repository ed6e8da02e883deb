"""Runs the test commands in one fresh workspace, within one time limit for all of them."""

from __future__ import annotations

import secrets
import shlex
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from agents.tester.environment import SCRATCH, Log, node_key
from agents.tester.install import InstallError, InstallFailures, brief, check_installed
from agents.tester.junit import MAX_JUNIT_BYTES
from agents.tester.parse import judge_command
from agents.tester.scripts import misses_script
from agents.tester.toolchains import Toolchains
from agents.tester.values import PYTHON, CommandReport, NodeNeeds, NotRun, RunReport, TestCommand, TestSetup
from shared.errors import PersevereError
from shared.sandbox.port import Command, Sandbox
from shared.types import CommandResult

_OUTPUT_KEPT = 200_000
_SIZE = "import os, sys; print(os.stat(sys.argv[1]).st_size)"
_NO_METADATA = ("PackageNotFoundError", "DistributionNotFound", "No package metadata was found")
_VERSIONS = ("SETUPTOOLS_SCM_PRETEND_VERSION", "PDM_BUILD_SCM_VERSION", "PBR_VERSION", "UV_DYNAMIC_VERSIONING_BYPASS")


@dataclass
class WorkspaceRun:
    """One workspace's run. `python_home` and `node_homes` are cached environments; times in seconds.

    `failed` has the reasons of what could not be installed: commands that need it are not run, the others are.
    """

    sandbox: Sandbox
    setup: TestSetup
    toolchains: Toolchains
    python_home: Path | None
    node_homes: Mapping[str, Path]
    timeout_s: float
    setup_timeout_s: float
    log: Log
    failures: InstallFailures
    failed: dict[str, str] = field(default_factory=dict)
    output: list[str] = field(default_factory=list)
    _overlay: Path | None = None
    _ends: float = 0.0

    async def run(self) -> RunReport:
        """Prepare the workspace, then every command. A limit that is hit ends the run in a clear state."""
        try:
            await self._prepare()
        except InstallError as exc:
            return RunReport(error=f"The tests cannot be run: {exc}")
        self._ends = time.monotonic() + self.timeout_s
        reports: list[CommandReport] = []
        not_run: list[NotRun] = []
        for command in self.setup.commands:
            try:
                reports.append(await self._judge(command))
            except InstallError as exc:
                self.output.append(f"{command.text}: {exc}\n")
                not_run.append(NotRun(command=command.text, reason=brief(str(exc))))
        if not_run and not reports:
            reasons = dict.fromkeys(skipped.reason for skipped in not_run)
            return RunReport(error=f"The tests cannot be run: {' '.join(reasons)}")
        return RunReport(reports=reports, not_run=not_run)

    async def _prepare(self) -> None:
        await self.sandbox.write(f"{SCRATCH}/.gitignore", b"*\n")
        if self.setup.python is not None and PYTHON not in self.failed:
            try:
                if self.setup.python.editable:
                    await self._install_project(isolated=False)
                elif self.setup.setup and self.python_home is not None:
                    await self._make_overlay()
                    await self._put_on_top()
            except InstallError as exc:
                self.failed[PYTHON] = str(exc)
        for needs in self.setup.node:
            if needs.name not in self.failed:
                try:
                    await self._install_node(needs)
                except InstallError as exc:
                    self.failed[needs.name] = str(exc)
        for line in self.setup.setup:
            await self.log(f"set-up: {line}"[:300])
            command = Command(["/bin/sh", "-c", line], environment=self._environment(), timeout_s=self.setup_timeout_s, registries=True)
            check_installed(await self._shell(command), f"the set-up command `{line}`")

    async def _install_node(self, needs: NodeNeeds) -> None:
        home = self.node_homes.get(needs.cwd)
        if home is not None:
            link = ["ln", "-sfn", str(home / "node_modules"), "node_modules"]
            return check_installed(await self._shell(Command(link, cwd=needs.cwd, timeout_s=30)), "ln")
        key, limit = node_key(needs, self.sandbox.system), self.setup_timeout_s
        self.failures.check(key, limit)
        began = self.failures.now()
        command = Command(needs.argv, cwd=needs.cwd, timeout_s=limit, registries=True, environment=self._environment())
        try:
            return check_installed(await self._shell(command), needs.argv[0])
        except InstallError as exc:
            self.failures.note(key, limit, began, str(exc))
            raise

    async def _judge(self, command: TestCommand) -> CommandReport:
        """Raises `InstallError` when the command cannot be run here."""
        if command.argv[0] in self.toolchains.missing:
            raise InstallError(f"{command.argv[0]} is not installed on this machine.")
        if reason := self.setup.blocked(command, self.failed):
            raise InstallError(reason)
        result, junit = await self._attempt(command)
        if command.kind == "pytest" and result.exit_code == 4 and "unrecognized arguments" in result.stderr + result.stdout:
            await self.log("pytest does not know options of the repository's settings; running without its addopts")
            result, junit = await self._attempt(command, ("-o", "addopts="))
        if result.ok or not (lack := self._lacks(result)):
            return judge_command(command, result, junit)
        await self.log(f"the tests ask for the project's own {lack}; installing the project")
        try:
            await self._install_project(isolated=True)
        except InstallError as exc:
            self._overlay = None
            report = judge_command(command, result, junit)
            return report.model_copy(update={"reason": f"{report.reason} The project could not be installed: {brief(str(exc))}".strip()})
        return judge_command(command, *await self._attempt(command))

    def _lacks(self, result: CommandResult) -> str:
        """What only an installed project has, and the tests did not find; empty when nothing, or when it is installed."""
        if self._overlay is not None or self.python_home is None or self.setup.python is None:
            return ""
        text = result.stdout + result.stderr
        if any(sign in text for sign in _NO_METADATA):
            return "metadata"
        return "commands" if misses_script(text, self.setup.python.scripts) else ""

    async def _attempt(self, command: TestCommand, options: tuple[str, ...] = ()) -> tuple[CommandResult, bytes | None]:
        """Run once; the JUnit file has a name the tests cannot know beforehand."""
        report = f"{SCRATCH}/junit-{secrets.token_hex(8)}.xml"
        argv = [self._python() if word == "{python}" else word for word in command.argv]
        environment = self._environment()
        flags = [f"--junitxml={self.sandbox.root / report}", *options]
        if command.kind == "pytest" and argv[:2] != ["/bin/sh", "-c"]:
            argv += ["--color=no", *flags]
        elif command.kind in ("pytest", "make", "shell"):
            environment["PYTEST_ADDOPTS"] = shlex.join(flags)
        if command.kind == "cargo" and not await self.sandbox.exists("Cargo.lock"):
            argv = [*argv, "--offline"]
        left = self._ends - time.monotonic()
        await self.log(f"running {command.text}"[:300])
        result = await self._shell(Command(argv, cwd=command.cwd, environment=environment, timeout_s=max(1.0, left)))
        return result, await self._report(report)

    async def _report(self, path: str) -> bytes | None:
        """The JUnit file, unless the tests made it something else or too large to read."""
        try:
            if not await self.sandbox.exists(path):
                return None
            asked = [self.sandbox.system.python, "-I", "-S", "-c", _SIZE, path]
            size = (await self.sandbox.run(Command(asked, timeout_s=20))).stdout.strip()
            if not size.isdigit() or int(size) > MAX_JUNIT_BYTES:
                return b"too large"
            return await self.sandbox.read(path)
        except PersevereError:
            return b"unreadable"

    async def _shell(self, command: Command) -> CommandResult:
        result = await self.sandbox.run(command)
        self.output.append(
            f"$ {shlex.join(command.argv)}\n{result.stdout[-_OUTPUT_KEPT:]}\n{result.stderr[-_OUTPUT_KEPT:]}\n"
            f"[exit code {result.exit_code}{', stopped by ' + result.stopped_by if result.stopped_by else ''}, {result.duration_s:.1f} s]\n"
        )
        return result

    def _python(self) -> str:
        home = self._overlay or self.python_home
        return str(home / "bin" / "python") if home is not None else self.sandbox.system.python

    def _environment(self) -> dict[str, str]:
        home = self._overlay or self.python_home
        folders = [str(place / "bin") for place in (self._overlay, self.python_home) if place is not None]
        if self.setup.python is not None and home is None:
            folders.append(str(Path(self.sandbox.system.python).parent))
        environment = dict(self.toolchains.environment)
        environment["PATH"] = ":".join([*folders, *self.toolchains.path, "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin"])
        if home is not None:
            environment["VIRTUAL_ENV"] = str(home)
        if self.setup.python is not None and self.setup.python_path:
            environment["PYTHONPATH"] = ":".join(str(self.sandbox.root / path) for path in self.setup.python_path)
        environment.update(dict.fromkeys(_VERSIONS, "0.0.0"))
        if any(command.kind == "node" for command in self.setup.commands):
            environment["CI"] = "1"
        environment["CARGO_HOME"] = str(self.sandbox.root / SCRATCH / "cargo")
        environment["GOCACHE"] = str(self.sandbox.root / SCRATCH / "go")
        return environment

    async def _make_overlay(self) -> None:
        """A writable virtual environment of this workspace; `_put_on_top` makes the cached one's packages part of it."""
        overlay = self.sandbox.root / SCRATCH / "venv"
        made = await self._shell(Command([self.sandbox.system.python, "-I", "-m", "venv", "--without-pip", str(overlay)], timeout_s=60))
        check_installed(made, "venv")
        self._overlay = overlay

    async def _put_on_top(self) -> None:
        assert self.python_home is not None
        version = ".".join(map(str, self.sandbox.system.python_version))
        below = self.python_home / "lib" / f"python{version}" / "site-packages"
        pth = f"import site; site.addsitedir({str(below)!r})\n"
        await self.sandbox.write(f"{SCRATCH}/venv/lib/python{version}/site-packages/_cached.pth", pth.encode())

    async def _install_project(self, *, isolated: bool) -> None:
        """`isolated`: built by what the project asks for; packages of the cached environment, older perhaps, must not be in its way."""
        assert self.python_home is not None
        await self._make_overlay()
        if not isolated:
            await self._put_on_top()
        argv = [str(self.python_home / "bin" / "python"), "-I", "-m", "pip", f"--python={self._python()}", "install", "--no-deps"]
        argv += ["--no-input", "--progress-bar=off", *([] if isolated else ["--no-build-isolation"]), "-e", "."]
        environment = self._environment()
        environment.pop("PYTHONPATH", None)
        limit = self.setup_timeout_s
        check_installed(await self._shell(Command(argv, environment=environment, timeout_s=limit, registries=True)), "pip")
        if isolated:
            await self._put_on_top()
