"""Sandboxes at E2B (https://e2b.dev): a virtual machine each, by E2B's own library."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from shared.errors import PersevereError, SandboxError, SandboxGoneError
from shared.sandbox.connection import Exchange
from shared.sandbox.copying import MOST_ENTRIES, Copy, fetch
from shared.sandbox.e2b_creation import LABEL, OURS, create, listed
from shared.sandbox.e2b_errors import no_template, translate
from shared.sandbox.e2b_machine import USER, E2BAccount, E2BMachine
from shared.sandbox.execution import finish
from shared.sandbox.inside.archive import Bounds
from shared.sandbox.local import check_spec
from shared.sandbox.port import Keeper, Probe, Sandbox, SandboxSpec, System
from shared.sandbox.remote import WORKSPACE, connect, open_remote

if TYPE_CHECKING:
    from pathlib import Path

_PYTHON, _TOOLS = "/usr/bin/python3", "/opt/persevere/tools/bin/python"
_DESCRIBE = """
import hashlib, json, platform, sys
release = hashlib.sha256(open("/etc/os-release", "rb").read()).hexdigest()[:16]
print(json.dumps({"identity": f"{sys.version} {platform.machine()} {release}", "version": sys.version_info[:2]}))
"""
_PROBE_S = 10.0
_MOST = 4 * 1024**3
"""Bytes that a rescue brings at most."""
_RESCUES = 3
"""So often a rescue may fail before what it would save is given up."""
_logger = logging.getLogger(__name__)


class E2BProvider:
    name = "e2b"
    isolated = True

    def __init__(self, account: E2BAccount) -> None:
        self._account = account
        self._system: System | None = None
        self._finding_out = asyncio.Lock()
        self._failed: dict[str, int] = {}

    async def probe(self) -> Probe:
        """Asks the control plane for one sandbox, which tells whether the key is good."""
        try:
            from e2b import AsyncSandbox

            await AsyncSandbox.list(limit=1, **self._account.options(_PROBE_S)).next_items()
        except ImportError:
            return Probe(False, "E2B's library is missing", "pip install e2b")
        except Exception as error:
            problem = translate(error)
            return Probe(False, problem.message.rstrip("."), problem.next_step.rstrip("."))
        return Probe(True, "E2B takes our key")

    async def system(self) -> System:
        """From the first sandbox there is; one is made for it if need be."""
        async with self._finding_out:
            if self._system is None:
                machine = await create(self._account, {})
                try:
                    self._system = await self._describe(machine)
                finally:
                    await finish(machine.remove())
            return self._system

    async def open(self, spec: SandboxSpec) -> Sandbox:
        resolved, _ = await check_spec(spec)
        machine = await create(self._account, resolved.labels)
        try:
            await machine.prepare([str(WORKSPACE), *map(str, resolved.writable)], [str(path) for path in resolved.readable])
            self._system = self._system or await self._describe(machine)
        except BaseException:
            await finish(_discard(machine))
            raise
        return await open_remote(self.name, resolved, machine, self._system, resolved.readable)

    async def sweep(self, keeper: Keeper | None = None) -> int:
        """Of every sandbox that an installation of ours made, those that `keeper` disowns are rescued and removed."""
        removed = 0
        for info in await listed(self._account, OURS) if keeper is not None else []:
            labels = {name.removeprefix(LABEL): value for name, value in info.metadata.items() if name.startswith(LABEL)}
            if keeper is not None and labels and not await keeper.owns(labels):
                removed += await self._remove(info.sandbox_id, labels, keeper)
        return removed

    async def _remove(self, identifier: str, labels: Mapping[str, str], keeper: Keeper) -> bool:
        """Rescue and remove one; False if it has to wait for the next sweep, or somebody else was faster."""
        from e2b import AsyncSandbox

        try:
            sandbox = await AsyncSandbox.connect(identifier, timeout=self._account.ttl_s, **self._account.options())
        except Exception as error:
            _logger.info("a sandbox left at E2B: %s", translate(error).message)
            return False
        machine = E2BMachine(self._account, sandbox)
        try:
            try:
                await keeper.rescue(_Left(labels, machine))
            except SandboxGoneError:
                return False
            except Exception as error:
                self._failed[identifier] = self._failed.get(identifier, 0) + 1
                _logger.warning(
                    "rescuing a sandbox left at E2B: %s", error.message if isinstance(error, PersevereError) else type(error).__name__
                )
                if self._failed[identifier] < _RESCUES:
                    await machine.pause()
                    return False
            await machine.remove()
        except SandboxError as error:
            _logger.info("a sandbox left at E2B: %s", error.message)
            return False
        finally:
            machine.forget()
        return True

    async def _describe(self, machine: E2BMachine) -> System:
        """SandboxError if the template is another than ours."""
        script = f"test -x {_TOOLS} && exec {_PYTHON} -I -S -c {shlex.quote(_DESCRIBE)}"
        try:
            found: Any = json.loads((await machine.ask(script, USER)).strip().splitlines()[-1])
            return System(str(found["identity"]), _PYTHON, (int(found["version"][0]), int(found["version"][1])), _TOOLS)
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise no_template(self._account.template) from error


class _Left:
    """See `Leftover`."""

    def __init__(self, labels: Mapping[str, str], machine: E2BMachine) -> None:
        self.labels = labels
        self._machine = machine

    async def fetch(self, folder: Path) -> None:
        connection = await connect(self._machine, _PYTHON, _refuse)
        try:
            here = await asyncio.to_thread(_entries, folder)
            copy = Copy(folder, str(WORKSPACE), dict.fromkeys(here, ""))
            await fetch(self._machine, connection, copy, Bounds(_MOST, MOST_ENTRIES))
        finally:
            await connection.aclose()


def _entries(folder: Path) -> list[str]:
    """Every path below, relative to it."""
    found = []
    for parent, folders, files in os.walk(folder):
        found += [os.path.relpath(os.path.join(parent, name), folder) for name in (*folders, *files)]
    return found


async def _refuse(exchange: Exchange) -> None:
    await exchange.stop()


async def _discard(machine: E2BMachine) -> None:
    with contextlib.suppress(SandboxError):
        await machine.remove()
