"""Removing the containers that killed processes left behind, by several workers at once without tripping over each other."""

from __future__ import annotations

import contextlib
import json
import logging
import time
from collections.abc import Callable, Mapping
from typing import Any

from shared import metrics
from shared.errors import PersevereError, SandboxError, SandboxGoneError
from shared.sandbox.docker_engine import Engine
from shared.sandbox.leftover import RemoteLeftover
from shared.sandbox.machine import Machine
from shared.sandbox.port import Keeper

LABELS = "persevere.labels"
_CLAIM_S = 900
_logger = logging.getLogger(__name__)


async def sweep(engine: Engine, keeper: Keeper, machine_of: Callable[[str], Machine], python: str) -> int:
    """Rescue and remove what `keeper` disowns; how many. One that cannot be rescued stays for the next sweep, until its own time ends it.

    One that has ended holds nothing any more and is removed unasked. (The engine is not told to do that by itself: one that is started
    again would remove the running ones with them.)
    """
    removed = 0
    for found in await engine.call(lambda api: api.containers(all=True, filters={"label": LABELS})):
        if found.get("State") in ("exited", "dead"):
            removed += await _remove(machine_of(found["Id"]))
            continue
        labels = _read(found.get("Labels") or {})
        if labels is None or await keeper.owns(labels) or not await _claim(engine, found):
            continue
        machine = machine_of(found["Id"])
        try:
            await machine.pause()
            await keeper.rescue(RemoteLeftover(labels, machine, python))
        except SandboxGoneError:
            pass
        except Exception as error:
            _logger.warning(
                "rescuing what is left at Docker: %s", error.message if isinstance(error, PersevereError) else type(error).__name__
            )
            await _give_up(engine, found, machine)
            continue
        removed += await _remove(machine)
    return removed


async def _remove(machine: Machine) -> int:
    try:
        await machine.remove()
    except SandboxError:
        return 0
    metrics.sandbox_leaked()
    return 1


def _read(labels: Mapping[str, str]) -> dict[str, str] | None:
    """The labels as its opener gave them; None for one of nobody (a trial), which ends by itself."""
    try:
        found = json.loads(labels.get(LABELS, ""))
    except ValueError:
        return None
    return {str(name): str(value) for name, value in found.items()} if isinstance(found, dict) and found else None


def _claim_name(container: str, slot: int) -> str:
    return f"persevere-leftover-{container[:12]}-{slot}"


async def _claim(engine: Engine, found: Mapping[str, Any]) -> bool:
    """Be the one who removes it: a container takes a name once. A claim of someone who died meanwhile ends after a quarter of an hour."""
    container, slot = str(found["Id"]), int(time.time()) // _CLAIM_S
    names = [str(name).lstrip("/") for name in found.get("Names") or ()]
    if any(name in names for name in (_claim_name(container, slot), _claim_name(container, slot - 1))):
        return False
    try:
        await engine.call(lambda api: api.rename(container, _claim_name(container, slot)))
    except SandboxError:
        return False
    return True


async def _give_up(engine: Engine, found: Mapping[str, Any], machine: Machine) -> None:
    """For now. In a frozen container the time limit would never end it."""
    with contextlib.suppress(SandboxError):
        await machine.resume()
    name = str((found.get("Names") or ["/persevere-left"])[0]).lstrip("/")
    with contextlib.suppress(SandboxError):
        await engine.call(lambda api: api.rename(found["Id"], name))
