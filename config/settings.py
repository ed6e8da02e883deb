"""Settings: environment variables with the prefix `PERSEVERE_`, and the well-known names as they are.

An unknown `PERSEVERE_` key or a bad value stops the start with one sentence that names it.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import ConfigDict, Field, SecretStr, ValidationError, ValidationInfo, field_validator, model_validator

from shared.errors import SettingsError
from shared.models.limits import BudgetSettings
from shared.models.names import NONE, parse_model, require

PREFIX = "PERSEVERE_"
WELL_KNOWN = {
    "DATABASE_URL": "database_url",
    "REDIS_URL": "redis_url",
    "CHAT_SESSION_TTL": "chat_session_ttl",
    "OPENAI_API_KEY": "openai_api_key",
    "OPENAI_BASE_URL": "openai_base_url",
    "ANTHROPIC_API_KEY": "anthropic_api_key",
    "ANTHROPIC_BASE_URL": "anthropic_base_url",
    "GOOGLE_API_KEY": "google_api_key",
    "GOOGLE_GEMINI_BASE_URL": "google_base_url",
    "E2B_API_KEY": "e2b_api_key",
    "E2B_API_URL": "e2b_api_url",
    "E2B_SANDBOX_URL": "e2b_sandbox_url",
}
INTERNAL = frozenset({"PERSEVERE_URL"})
"""Variables with our prefix that the command line reads itself."""


class Settings(BudgetSettings):
    """What the operator chose. Times in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    data_dir: Path
    host: str = "127.0.0.1"
    port: int = Field(default=8001, ge=0, le=65535)
    token: str | None = Field(default=None, min_length=20)
    database_url: str | None = None
    database_pool: int = Field(default=10, ge=2, le=100)
    redis_url: str | None = None
    checkpoints: Literal["postgres", "redis"] = "postgres"
    keep_checkpoints_days: int = Field(default=7, ge=0)
    """Days after a task's end until what only its going on would need is removed; ten times as long for a failed one."""
    requests_per_minute: int = Field(default=0, ge=0)
    """Chat turns and new tasks of one user in a minute; 0: no limit."""
    sandbox: Literal["auto", "bubblewrap", "landlock", "docker", "e2b", "process"] = "auto"
    sandbox_image: str = "persevere-sandbox"
    """The image of Docker sandboxes, made from `compose/sandbox/Dockerfile`. The engine is the one of `DOCKER_HOST`."""
    sandbox_runtime: str | None = None
    """The engine's runtime for them; None: gVisor's `runsc` where the engine has it, else its default."""
    sandbox_template: str = "persevere"
    """The template of E2B sandboxes, made from the same Dockerfile."""
    sandbox_ttl_s: int = Field(default=4 * 3600, ge=60, le=24 * 3600)
    """Seconds after which a sandbox elsewhere ends by itself, whatever became of us."""
    e2b_api_key: SecretStr | None = None
    e2b_api_url: str | None = None
    e2b_sandbox_url: str | None = None
    model: str = NONE
    """`provider:name`, or `none`: recipes only."""
    model_fallbacks: tuple[str, ...] = ()
    """Models that answer, in this order, when the chosen one cannot."""
    model_silence_s: float = Field(default=300, gt=0, le=3600)
    """Seconds until an answer that does not begin, or does not go on, is given up."""
    model_patience_s: float = Field(default=120, ge=0, le=3600)
    """Seconds a provider that is down or busy is tried again; a quarter of it where a fallback follows."""
    model_prices: Path | None = None
    """Prices that win over `config/models.yaml`."""
    secret_key: SecretStr | None = Field(default=None, min_length=32)
    """Encrypts users' keys in the database; the same on every machine. None: made once and kept in the data folder."""
    openai_api_key: SecretStr | None = None
    openai_base_url: str | None = None
    anthropic_api_key: SecretStr | None = None
    anthropic_base_url: str | None = None
    google_api_key: SecretStr | None = None
    google_base_url: str | None = None
    worker_concurrency: int = Field(default=4, ge=1, le=100)
    worker_runs_per_user: int = Field(default=0, ge=0)
    """Runs of one user at once, over all workers; more wait. 0: no limit."""
    worker_lease_s: float = Field(default=10, ge=2, le=300)
    """Seconds without a sign of life after which another worker takes over."""
    worker_drain_s: float = Field(default=20, ge=0, le=3600)
    """Seconds a step may go on when its worker is told to end; then it is interrupted and done again elsewhere."""
    chat_session_ttl: int = Field(default=7 * 24 * 3600, ge=60)
    approval_ttl: int = Field(default=7 * 24 * 3600, ge=60)
    log_level: Literal["debug", "info", "warning", "error"] = "warning"

    @field_validator("model_fallbacks", mode="before")
    @classmethod
    def _fallbacks_are_a_list(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("database_url")
    @classmethod
    def _database_is_postgresql(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("postgresql://", "postgres://", "postgresql+psycopg://")):
            raise ValueError("must be a postgresql:// URL")
        return value

    @field_validator("redis_url")
    @classmethod
    def _redis_is_redis(cls, value: str | None) -> str | None:
        if value is not None and not value.startswith(("redis://", "rediss://", "valkey://", "valkeys://", "unix://")):
            raise ValueError("must be a redis:// URL")
        return value

    @field_validator("checkpoints")
    @classmethod
    def _redis_is_named_where_it_is_needed(cls, value: str, info: ValidationInfo) -> str:
        if value == "redis" and not info.data.get("redis_url"):
            raise ValueError("redis needs REDIS_URL")
        return value

    @model_validator(mode="after")
    def _models_can_be_used(self) -> Settings:
        """A wrong model stops the start, not the first task. Addresses and keys of providers that no setting names are left alone."""
        for field, setting in (("model", self.model), *(("model_fallbacks", one) for one in self.model_fallbacks)):
            if setting == NONE and field == "model":
                continue
            try:
                require(parse_model(setting), self)
            except SettingsError as error:
                raise SettingsError(f"{variable_name(field)}: {error.message}", error.next_step) from None
        return self

    @property
    def base_url(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"


def default_data_dir() -> Path:
    import platformdirs

    return Path(platformdirs.user_data_dir("persevere", appauthor=False))


def load_settings(environment: Mapping[str, str] | None = None, **overrides: object) -> Settings:
    """Read the settings; `overrides` that are not None win. Raises `SettingsError` in one sentence that names the variable."""
    environment = os.environ if environment is None else environment
    values: dict[str, object] = {}
    for key, value in environment.items():
        if key in WELL_KNOWN and value:
            values[WELL_KNOWN[key]] = value
    for key, value in environment.items():
        if not key.startswith(PREFIX) or key in INTERNAL:
            continue
        name = key.removeprefix(PREFIX).lower()
        if name not in Settings.model_fields:
            known = ", ".join(PREFIX + field.upper() for field in sorted(Settings.model_fields))
            raise SettingsError(f"Unknown setting {key}.", f"Known settings: {known}.")
        if value != "":
            values[name] = value
    values.update({key: value for key, value in overrides.items() if value is not None})
    values.setdefault("data_dir", default_data_dir())
    try:
        settings = Settings.model_validate(values)
    except ValidationError as exc:
        first = exc.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else "settings"
        message = first["msg"].removeprefix("Value error, ")
        raise SettingsError(f"{variable_name(name)}: {message}.", f"Correct {variable_name(name)} and start again.") from exc
    return settings.model_copy(update={"data_dir": settings.data_dir.expanduser().absolute()})


def variable_name(field: str) -> str:
    """The environment variable of a field of `Settings`."""
    return next((name for name, known in WELL_KNOWN.items() if known == field), PREFIX + field.upper())
