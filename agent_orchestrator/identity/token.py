"""The local user's bearer token: made at the first start and kept in the data folder."""

from __future__ import annotations

from pathlib import Path

from shared.secrets.files import load_or_create

MIN_LENGTH = 20


def token_path(data_dir: Path) -> Path:
    return data_dir / "token"


def load_or_create_token(data_dir: Path) -> str:
    """The stored token, or a new one of 43 characters in a file of mode 0600. `SettingsError` when it cannot be read or made."""
    return load_or_create(token_path(data_dir), what="token", setting="PERSEVERE_TOKEN", min_length=MIN_LENGTH)
