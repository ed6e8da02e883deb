"""Bodies and answers about keys. No answer ever holds a key."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field, SecretStr, field_validator

from agent_orchestrator.dependencies import Body
from shared.store.model_keys import ModelKey

ProviderName = Literal["openai", "anthropic", "google_genai", "openai-compatible"]
SHOWN = 4
_KEY = re.compile(r"[\x21-\x7e]{16,1024}")


class KeyBody(Body):
    """`name` is for people."""

    key: SecretStr = Field(description="16 to 1024 printable ASCII characters without spaces. Write-only.")
    name: str = Field(default="", max_length=100)

    @field_validator("key")
    @classmethod
    def _is_a_key(cls, value: SecretStr) -> SecretStr:
        key = value.get_secret_value().strip()
        if not _KEY.fullmatch(key):
            raise ValueError("a key has 16 to 1024 printable ASCII characters and no spaces")
        return SecretStr(key)


class NewKey(KeyBody):
    provider: ProviderName


class KeyView(BaseModel):
    """A key that is stored. `last_four` are its last characters."""

    provider: str
    name: str
    last_four: str
    created_at: datetime
    updated_at: datetime

    @classmethod
    def of(cls, key: ModelKey) -> KeyView:
        return cls(**key.model_dump(exclude={"user_id", "sealed"}))


class KeyList(BaseModel):
    items: list[KeyView]
    next_cursor: str | None = None
