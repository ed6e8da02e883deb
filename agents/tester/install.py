"""Installing what tests need: what counts as failed, and what failed lately, so that nobody waits for the same failure twice."""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import time
from collections.abc import Callable
from pathlib import Path

from shared.types import CommandResult

COST = 40
"""A failed installation rests this many times as long as it took, between `SHORTEST_S` and `LONGEST_S` seconds."""
SHORTEST_S = 60.0
LONGEST_S = 3600.0

_NOISE = ("[notice]", "WARNING: Retrying", "npm error A complete log of this run", "npm ERR! A complete log of this run")


class InstallError(Exception):
    """What the tests need could not be installed; the message says why."""


def check_installed(result: CommandResult, tool: str) -> None:
    if result.ok:
        return
    if result.stopped_by is not None:
        raise InstallError(f"{tool} was stopped by its limit ({result.stopped_by}): {closing_lines(result)}")
    raise InstallError(f"{tool} could not install what the tests need: {closing_lines(result)}")


def closing_lines(result: CommandResult, count: int = 6) -> str:
    """The last lines of what a command wrote, preferring its errors; at most 800 characters."""
    text = result.stderr.strip() or result.stdout.strip()
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith(_NOISE)]
    return " / ".join(lines[-count:])[-800:]


def brief(message: str, width: int = 360) -> str:
    """A message without its middle where it is longer than `width`: it begins with the tool and ends with when it is tried again."""
    half = (width - 3) // 2
    return message if len(message) <= width else f"{message[:half]} … {message[-half:]}"


class InstallFailures:
    """Failed installations by key, as files `<key>.failed` below `root`; whoever removes one lets it be tried at once."""

    def __init__(self, root: Path, clock: Callable[[], float] = time.time) -> None:
        self._root, self._clock = root, clock

    def check(self, key: str, timeout_s: float) -> None:
        """Raises `InstallError` while the last failure rests, unless there is more time now than it had."""
        path = self._path(key)
        try:
            told = json.loads(path.read_text(encoding="utf-8"))
            message, at, until, limit = str(told["message"]), float(told["at"]), float(told["until"]), float(told["timeout_s"])
        except (OSError, ValueError, KeyError, TypeError):
            return
        now = self._clock()
        if limit < timeout_s or not at <= now < until:
            path.unlink(missing_ok=True)
            return
        raise InstallError(f"{message} (tried {_minutes(now - at)} ago, tried again in {_minutes(until - now)})")

    def note(self, key: str, timeout_s: float, began: float, message: str) -> None:
        """Remember a failure of an attempt that began at `began`, seconds of the clock."""
        now = self._clock()
        rests = min(max(COST * (now - began), SHORTEST_S), LONGEST_S)
        value = {"message": message, "at": now, "until": now + rests, "timeout_s": timeout_s}
        new = self._root / f".{key}.{secrets.token_hex(4)}"
        with contextlib.suppress(OSError):
            self._root.mkdir(parents=True, exist_ok=True, mode=0o755)
            new.write_text(json.dumps(value), encoding="utf-8")
            os.replace(new, self._path(key))

    def now(self) -> float:
        """Seconds of the clock."""
        return self._clock()

    def _path(self, key: str) -> Path:
        return self._root / f"{key}.failed"


def _minutes(value: float) -> str:
    return f"{max(1, round(value / 60))} min" if value >= 60 else f"{round(value)} s"
