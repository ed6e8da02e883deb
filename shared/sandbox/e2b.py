"""Sandboxes at E2B (https://e2b.dev): a virtual machine each, by E2B's own library."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import shlex
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from shared import metrics
from shared.errors import PersevereError, SandboxError, SandboxGoneError
from shared.sandbox.e2b_creation import LABEL, OPENED, OURS, create, listed, reconnect
from shared.sandbox.e2b_errors import no_template, translate
from shared.sandbox.e2b_machine import USER, E2BAccount, E2BMachine
from shared.sandbox.execution import finish
from shared.sandbox.leftover import RemoteLeftover
from shared.sandbox.local import check_spec
from shared.sandbox.port import Keeper, Probe, Sandbox, SandboxSpec, System
from shared.sandbox.remote import WORKSPACE, open_remote

if TYPE_CHECKING:
    from e2b.sandbox.sandbox_api import SandboxInfo

_PYTHON, _TOOLS = "/usr/bin/python3", "/opt/persevere/tools/bin/python"
_DESCRIBE = """
import hashlib, json, platform, sys
release = hashlib.sha256(open("/etc/os-release", "rb").read()).hexdigest()[:16]
print(json.dumps({"identity": f"{sys.version} {platform.machine()} {release}", "version": sys.version_info[:2]}))
"""
_PROBE_S = 10.0
_RESCUE_S = 900
_GIVEN_UP_S = 24 * 3600
"""So long after it was opened, what a rescue fails to save is given up."""
_logger = logging.getLogger(__name__)


class E2BProvider:
    name = "e2b"
    isolated = True

    def __init__(self, account: E2BAccount) -> None:
        self._account = account
        self._system: System | None = None
        self._finding_out = asyncio.Lock()

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
                removed += await self._remove(info, labels, keeper)
        return removed

    async def _remove(self, info: SandboxInfo, labels: Mapping[str, str], keeper: Keeper) -> bool:
        """Rescue and remove one; False if it has to wait for the next sweep, or another worker is at it or was faster."""
        try:
            account = replace(self._account, ttl_s=min(self._account.ttl_s, _RESCUE_S))
            machine = E2BMachine(account, await reconnect(account, info.sandbox_id))
        except SandboxError as error:
            _logger.info("a sandbox left at E2B: %s", error.message)
            return False
        try:
            if not await machine.claim():
                return False
            if not await self._rescue(_age(info), RemoteLeftover(labels, machine, _PYTHON), keeper):
                await machine.release()
                return False
            await machine.remove()
        except SandboxError as error:
            _logger.info("a sandbox left at E2B: %s", error.message)
            return False
        finally:
            machine.forget()
        metrics.sandbox_leaked()
        return True

    async def _rescue(self, age_s: float, leftover: RemoteLeftover, keeper: Keeper) -> bool:
        """Whether nothing more is to be saved. `SandboxGoneError`."""
        try:
            await keeper.rescue(leftover)
        except SandboxGoneError:
            raise
        except Exception as error:
            _logger.warning(
                "rescuing what is left at E2B: %s", error.message if isinstance(error, PersevereError) else type(error).__name__
            )
            return age_s > _GIVEN_UP_S
        return True

    async def _describe(self, machine: E2BMachine) -> System:
        """SandboxError if the template is another than ours."""
        script = f"test -x {_TOOLS} && exec {_PYTHON} -I -S -c {shlex.quote(_DESCRIBE)}"
        try:
            found: Any = json.loads((await machine.ask(script, USER)).strip().splitlines()[-1])
            return System(str(found["identity"]), _PYTHON, (int(found["version"][0]), int(found["version"][1])), _TOOLS)
        except (ValueError, KeyError, IndexError, TypeError) as error:
            raise no_template(self._account.template) from error


def _age(info: SandboxInfo) -> float:
    """Seconds since it was opened."""
    opened = info.metadata.get(OPENED, "")
    return time.time() - (int(opened) if opened.isdigit() else info.started_at.timestamp())


async def _discard(machine: E2BMachine) -> None:
    with contextlib.suppress(SandboxError):
        await machine.remove()
