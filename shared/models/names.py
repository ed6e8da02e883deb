"""What a model's name means: its provider, the package that speaks to it, and the settings it needs. Pure; imports no vendor."""

from __future__ import annotations

import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from pydantic import SecretStr

from shared.errors import SettingsError

NONE = "none"


class ModelSettings(Protocol):
    """The part of the settings that models need. Times in seconds."""

    @property
    def model(self) -> str: ...
    @property
    def model_fallbacks(self) -> tuple[str, ...]: ...
    @property
    def model_silence_s(self) -> float: ...
    @property
    def model_patience_s(self) -> float: ...
    @property
    def model_prices(self) -> Path | None: ...
    @property
    def openai_api_key(self) -> SecretStr | None: ...
    @property
    def openai_base_url(self) -> str | None: ...
    @property
    def anthropic_api_key(self) -> SecretStr | None: ...
    @property
    def anthropic_base_url(self) -> str | None: ...
    @property
    def google_api_key(self) -> SecretStr | None: ...
    @property
    def google_base_url(self) -> str | None: ...


class OwnKeys(Protocol):
    """Keys that a user brought; each is used in place of the operator's."""

    def held(self, provider: str) -> SecretStr | None:
        """The key as it was when the run began; None: the user has none. `SettingsError` when it cannot be read."""

    async def now(self, provider: str) -> SecretStr | None:
        """The key as it is stored now."""


@dataclass(frozen=True)
class Provider:
    """`key` and `url` are fields of the settings, with the environment variables a person knows them by; `client` is langchain's name."""

    name: str
    client: str
    package: str
    key: str
    key_variable: str
    url: str
    url_variable: str
    key_needed: bool = True
    url_needed: bool = False


PROVIDERS = {
    provider.name: provider
    for provider in (
        Provider("openai", "openai", "langchain_openai", "openai_api_key", "OPENAI_API_KEY", "openai_base_url", "OPENAI_BASE_URL"),
        Provider(
            "anthropic",
            "anthropic",
            "langchain_anthropic",
            "anthropic_api_key",
            "ANTHROPIC_API_KEY",
            "anthropic_base_url",
            "ANTHROPIC_BASE_URL",
        ),
        Provider(
            "google_genai",
            "google_genai",
            "langchain_google_genai",
            "google_api_key",
            "GOOGLE_API_KEY",
            "google_base_url",
            "GOOGLE_GEMINI_BASE_URL",
        ),
        Provider(
            "openai-compatible",
            "openai",
            "langchain_openai",
            "openai_api_key",
            "OPENAI_API_KEY",
            "openai_base_url",
            "OPENAI_BASE_URL",
            key_needed=False,
            url_needed=True,
        ),
    )
}
OTHERS = {
    "azure_openai": "langchain_openai",
    "bedrock": "langchain_aws",
    "bedrock_converse": "langchain_aws",
    "google_vertexai": "langchain_google_vertexai",
    **{
        name: f"langchain_{name}"
        for name in ("cohere", "deepseek", "fireworks", "groq", "mistralai", "ollama", "openrouter", "perplexity", "together", "xai")
    },
}
"""Further providers of langchain's `init_chat_model`: used when their package is installed, set up by their own variables."""


@dataclass(frozen=True)
class ModelName:
    provider: str
    model: str

    def __str__(self) -> str:
        return f"{self.provider}:{self.model}"


def parse_model(setting: str) -> ModelName:
    """`provider:name`; `SettingsError` lists the providers."""
    provider, colon, model = setting.strip().partition(":")
    if not colon or not model.strip() or (provider not in PROVIDERS and provider not in OTHERS):
        raise SettingsError(
            f"{setting!r} names no model: it must be provider:name.",
            f"The provider is one of {', '.join(PROVIDERS)}; or, with its package installed, {', '.join(sorted(OTHERS))}.",
        )
    return ModelName(provider, model.strip())


def require(name: ModelName, settings: ModelSettings, own: OwnKeys | None = None) -> None:
    """Whether the model can be used as the settings are, with the user's own keys; `SettingsError` says what it lacks."""
    provider = PROVIDERS.get(name.provider)
    package = provider.package if provider is not None else OTHERS[name.provider]
    if importlib.util.find_spec(package) is None:
        distribution = package.replace("_", "-")
        raise SettingsError(f"{name} needs the package {distribution}, which is not installed.", f"Install it: pip install {distribution}.")
    if provider is None:
        return
    if not has_own_key(name, own) and provider.key_needed and getattr(settings, provider.key) is None:
        raise SettingsError(
            f"{name} needs {provider.key_variable}, which is not set.",
            f"Set {provider.key_variable} to a key of yours, or store one for yourself: `persevere keys set {provider.name}`.",
        )
    if provider.url_needed and getattr(settings, provider.url) is None:
        raise SettingsError(
            f"{name} needs {provider.url_variable}, which is not set.",
            f"Set {provider.url_variable} to the server's address, for example http://127.0.0.1:11434/v1.",
        )


def has_own_key(name: ModelName, own: OwnKeys | None) -> bool:
    """Whether the user's own key would be used for the model. `SettingsError` when it cannot be read."""
    return own is not None and name.provider in PROVIDERS and own.held(name.provider) is not None
