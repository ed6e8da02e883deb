"""Encryption of what a database keeps and must not be able to read: AES-256-GCM under a key that is not in the database."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from shared.errors import PersevereError
from shared.secrets.files import load_or_create

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

MIN_LENGTH = 32
FILE = "secret.key"
_VERSION = b"\x01"
_NONCE = 12


class UnreadableSecretError(PersevereError):
    """It was sealed under another key, for something else, or was changed."""

    code = "secret_unreadable"
    status = 503


class SecretBox:
    """`secret`: at least 32 characters that nobody can guess. Each sealing has its own nonce, so that equal texts differ."""

    def __init__(self, secret: str) -> None:
        self._cipher = _cipher(secret)

    def seal(self, text: str, about: str) -> bytes:
        """Bound to `about`: opening it as anything else fails."""
        nonce = os.urandom(_NONCE)
        return _VERSION + nonce + self._cipher.encrypt(nonce, text.encode(), about.encode())

    def open(self, sealed: bytes, about: str) -> str:
        """`UnreadableSecretError` when it was not sealed so."""
        from cryptography.exceptions import InvalidTag

        nonce, body = sealed[1 : 1 + _NONCE], sealed[1 + _NONCE :]
        try:
            if sealed[:1] != _VERSION:
                raise InvalidTag
            return self._cipher.decrypt(nonce, body, about.encode()).decode()
        except (InvalidTag, ValueError):
            raise UnreadableSecretError(
                "A stored secret cannot be read: it was encrypted under another key.",
                "Give every machine the same PERSEVERE_SECRET_KEY, or store the secret again.",
            ) from None


def open_box(secret: str | None, data_dir: Path) -> SecretBox:
    """Under the given secret, else under the one of the data folder, which is made if need be. `SettingsError` when it is unusable."""
    if secret is None:
        secret = load_or_create(data_dir / FILE, what="key", setting="PERSEVERE_SECRET_KEY", min_length=MIN_LENGTH)
    return SecretBox(secret)


def _cipher(secret: str) -> AESGCM:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF

    return AESGCM(HKDF(algorithm=SHA256(), length=32, salt=None, info=b"persevere secrets").derive(secret.encode()))
