"""Secrets that are made once and kept in a file that only its owner can read."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from shared.errors import SettingsError


def load_or_create(path: Path, *, what: str, setting: str, min_length: int) -> str:
    """The stored secret, or a new one of 43 characters in a file of mode 0600.

    `SettingsError` says `what` cannot be used, and which `setting` can be set instead.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _create(path)
        path.chmod(0o600)
        secret = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise SettingsError(f"The {what} file {path} cannot be used.", f"Make it readable, or set {setting}.") from exc
    if len(secret) < min_length:
        raise SettingsError(f"The {what} in {path} is shorter than {min_length} characters.", "Remove the file to have a new one made.")
    return secret


def _create(path: Path) -> None:
    """Written whole under another name, then linked: a process that starts at the same time never reads half a secret."""
    draft = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="ascii") as file:
            file.write(secrets.token_urlsafe(32) + "\n")
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(draft, path)
        except FileExistsError:
            pass
    finally:
        draft.unlink()
