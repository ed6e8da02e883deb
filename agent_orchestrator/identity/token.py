"""The local user's bearer token: made at the first start and kept in the data folder."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from shared.errors import SettingsError

MIN_LENGTH = 20


def token_path(data_dir: Path) -> Path:
    return data_dir / "token"


def load_or_create_token(data_dir: Path) -> str:
    """The stored token, or a new one of 43 characters in a file of mode 0600. `SettingsError` when it cannot be read or made."""
    path = token_path(data_dir)
    try:
        data_dir.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            _create(path)
        path.chmod(0o600)
        token = path.read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError) as exc:
        raise SettingsError(f"The token file {path} cannot be used.", "Make it readable, or set PERSEVERE_TOKEN.") from exc
    if len(token) < MIN_LENGTH:
        raise SettingsError(f"The token in {path} is shorter than {MIN_LENGTH} characters.", "Remove the file to have a new one made.")
    return token


def _create(path: Path) -> None:
    """Written whole under another name, then linked: a process that starts at the same time never reads half a token."""
    draft = path.with_name(f".token-{secrets.token_hex(8)}")
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
