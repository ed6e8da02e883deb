"""The unprivileged account the server runs under when we are root (PostgreSQL refuses to run as root)."""

from __future__ import annotations

import os
import pwd
import subprocess
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from shared.errors import SettingsError

_DEDICATED = 64_532
"""A uid of its own, so that nothing else that runs as `nobody` can reach the database's files or processes."""


@dataclass(frozen=True)
class Account:
    uid: int
    gid: int

    @property
    def run_as(self) -> dict[str, Any]:
        """Arguments of `subprocess` that start a program under this account and no further groups."""
        return {"user": self.uid, "group": self.gid, "extra_groups": []}


@lru_cache(maxsize=1)
def server_account() -> Account | None:
    """None when we are not root and the server runs as ourselves. `SettingsError` when root cannot become anybody else here."""
    if os.geteuid() != 0:
        return None
    nobody = nobody_account()
    for account in (Account(_DEDICATED, _DEDICATED), nobody):
        if _works(account):
            return account
    raise SettingsError(
        "PostgreSQL cannot run as root, and this machine does not let root start it under another user.",
        "Run Persevere as an ordinary user, or set DATABASE_URL.",
    )


@lru_cache(maxsize=1)
def nobody_account() -> Account:
    """The account with a name that `initdb` needs: it looks its own user up."""
    try:
        entry = pwd.getpwnam("nobody")
    except KeyError as error:
        raise SettingsError(
            "PostgreSQL cannot run as root, and there is no user nobody to start it under.",
            "Run Persevere as an ordinary user, or set DATABASE_URL.",
        ) from error
    return Account(entry.pw_uid, entry.pw_gid)


def _works(account: Account) -> bool:
    try:
        subprocess.run(["/bin/sh", "-c", ":"], check=True, cwd="/", timeout=20, **account.run_as)
    except (OSError, ValueError, subprocess.SubprocessError):
        return False
    return True


def may_reach(account: Account, path: Path) -> bool:
    """Whether the permission bits let `account` walk to `path` and execute or enter it."""
    path = path.resolve()
    return all(_may_enter(account, folder.stat()) for folder in (path, *path.parents))


def _may_enter(account: Account, stat: os.stat_result) -> bool:
    if stat.st_uid == account.uid:
        return bool(stat.st_mode & 0o100)
    if stat.st_gid == account.gid:
        return bool(stat.st_mode & 0o010)
    return bool(stat.st_mode & 0o001)
