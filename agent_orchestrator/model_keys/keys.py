"""A user's own keys, as a run uses them: read and decrypted when it begins, and looked at again before each call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pydantic import SecretStr

from shared.errors import SettingsError
from shared.models.port import ModelError
from shared.secrets.box import SecretBox, UnreadableSecretError
from shared.store import model_keys
from shared.store.database import Database
from shared.store.model_keys import ModelKey

OpenBox = Callable[[], SecretBox]


@dataclass(frozen=True)
class UserKeys:
    """Implements `shared.models.names.OwnKeys`. Of a key that cannot be decrypted here there is None."""

    database: Database
    box: OpenBox
    user_id: str
    _held: dict[str, SecretStr | None]

    def held(self, provider: str) -> SecretStr | None:
        key = self._held.get(provider)
        if key is None and provider in self._held:
            raise SettingsError(
                f"Your key for {provider} cannot be read here: it was encrypted under another PERSEVERE_SECRET_KEY.",
                f"Store it again (`persevere keys set {provider}`); every machine needs the same PERSEVERE_SECRET_KEY.",
            )
        return key

    async def now(self, provider: str) -> SecretStr | None:
        async with self.database.connection() as connection:
            row = await model_keys.get(connection, self.user_id, provider)
        if row is None:
            return None
        try:
            return opened(self.box(), row)
        except UnreadableSecretError as error:
            raise ModelError(f"Your key for {provider} cannot be read here.", error.next_step, code="model_key_unreadable") from None


async def load_keys(database: Database, box: OpenBox, user_id: str) -> UserKeys:
    """All keys of a user. The box is opened where there is one."""
    async with database.connection() as connection:
        rows = await model_keys.list_(connection, user_id)
    held: dict[str, SecretStr | None] = {}
    for row in rows:
        try:
            held[row.provider] = opened(box(), row)
        except UnreadableSecretError:
            held[row.provider] = None
    return UserKeys(database, box, user_id, held)


def sealed(box: SecretBox, user_id: str, provider: str, key: SecretStr) -> bytes:
    """Bound to whose it is and for what: a row that is moved to another user cannot be opened."""
    return box.seal(key.get_secret_value(), _about(user_id, provider))


def opened(box: SecretBox, row: ModelKey) -> SecretStr:
    return SecretStr(box.open(row.sealed, _about(row.user_id, row.provider)))


def _about(user_id: str, provider: str) -> str:
    return f"model key/{provider}/{user_id}"
