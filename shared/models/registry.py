"""From a setting to a model. Nothing of langchain is imported before the first call."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import SecretStr

from shared.errors import SettingsError
from shared.models.names import NONE, PROVIDERS, ModelName, ModelSettings, OwnKeys, has_own_key, parse_model, require
from shared.models.port import ModelError, ModelPort, Spend
from shared.models.prices import PriceTable, load_prices

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from shared.models.guarded import Candidate, Patience

PRICES = Path(__file__).resolve().parents[2] / "config" / "models.yaml"


def choose_model(setting: str, settings: ModelSettings, own: OwnKeys | None = None) -> ModelPort | None:
    """The model of a setting, with the fallbacks; None for `none`. `SettingsError` says what is missing. `own`: the user's keys."""
    if setting == NONE:
        return None
    name = parse_model(setting)
    fallbacks = [other for other in map(parse_model, settings.model_fallbacks) if other != name]
    for one in (name, *fallbacks):
        require(one, settings, own)
    return ChosenModel(name, tuple(fallbacks), settings, own)


@dataclass(frozen=True)
class ChosenModel:
    """A model and its fallbacks. Clients are made at the first call and kept: they hold connections."""

    model: ModelName
    fallbacks: tuple[ModelName, ...]
    settings: ModelSettings
    own: OwnKeys | None = None

    @property
    def name(self) -> str:
        return str(self.model)

    @cached_property
    def prices(self) -> PriceTable:
        return known_prices(self.settings)

    @property
    def unpriced(self) -> tuple[str, ...]:
        return tuple(str(name) for name in (self.model, *self.fallbacks) if self.prices.of(str(name)) is None)

    def bind(self, spend: Spend) -> BaseChatModel:
        from shared.models.guarded import GuardedChatModel

        return GuardedChatModel(candidates=self._candidates, spend=spend, patience=self._patience, profile=self._profile())

    @cached_property
    def _patience(self) -> Patience:
        from shared.models.guarded import Patience

        return Patience(silence_s=self.settings.model_silence_s, total_s=self.settings.model_patience_s)

    @cached_property
    def _candidates(self) -> tuple[Candidate, ...]:
        from shared.models.guarded import Candidate

        clients = [(name, _Client(name, self.settings, self.own)) for name in (self.model, *self.fallbacks)]
        return tuple(Candidate(name, client, self.prices.of(str(name))) for name, client in clients)

    def _profile(self) -> Any:
        """What is known of the model's window. Structured answers go through a tool call: every provider and fallback has those."""
        profile = dict(self._candidates[0].client.open().profile or {})
        return {**profile, "structured_output": False}


def known_prices(settings: ModelSettings) -> PriceTable:
    """The table that comes with Persevere and the operator's own. `SettingsError` when a file is wrong."""
    return load_prices(PRICES, *([settings.model_prices] if settings.model_prices is not None else []))


def secrets_of(settings: ModelSettings) -> tuple[str, ...]:
    """Every key, to be struck from texts."""
    keys = (settings.openai_api_key, settings.anthropic_api_key, settings.google_api_key)
    return tuple(key.get_secret_value() for key in keys if key is not None)


class _Client:
    """Makes the client when it is first needed; with a user's own key again when that was replaced. Implements `guarded.Client`."""

    def __init__(self, name: ModelName, settings: ModelSettings, own: OwnKeys | None) -> None:
        self._name, self._settings = name, settings
        self._own = own if has_own_key(name, own) else None
        self._key = self._own.held(name.provider) if self._own is not None else None
        self._made: BaseChatModel | None = None

    @property
    def own_key(self) -> bool:
        return self._own is not None

    @property
    def secrets(self) -> tuple[str, ...]:
        own = (self._key.get_secret_value(),) if self._key is not None else ()
        return (*own, *secrets_of(self._settings))

    def open(self) -> BaseChatModel:
        if self._made is None:
            self._made = open_client(self._name, self._settings, self._key)
        return self._made

    async def refresh(self) -> None:
        if self._own is None:
            return
        key = await self._own.now(self._name.provider)
        if key is None:
            raise ModelError(
                f"Your key for {self._name.provider} was removed while the task ran.",
                f"Store one again (`persevere keys set {self._name.provider}`), then retry the task.",
                code="model_key_removed",
            )
        if key != self._key:
            self._key, self._made = key, None


def open_client(name: ModelName, settings: ModelSettings, own_key: SecretStr | None = None) -> BaseChatModel:
    """The provider's client as langchain makes it, without retries of its own. `ModelError` when it cannot be made."""
    from langchain.chat_models import init_chat_model

    from shared.models.answers import hearing_refusals

    provider = PROVIDERS.get(name.provider)
    try:
        client, arguments = (provider.client, _arguments(name, settings, own_key)) if provider is not None else (name.provider, {})
        made: BaseChatModel = init_chat_model(name.model, model_provider=client, **arguments)
    except Exception as exc:
        raise ModelError(
            f"The client for {name} cannot be made ({type(exc).__name__}).",
            "Check the model's name, its key and its address: `persevere doctor`.",
            code="model_unavailable",
        ) from None
    return hearing_refusals(made) if type(made).__name__ == "ChatOpenAI" else made


def _arguments(name: ModelName, settings: ModelSettings, own_key: SecretStr | None) -> dict[str, Any]:
    provider = PROVIDERS[name.provider]
    key, url = own_key or getattr(settings, provider.key), getattr(settings, provider.url)
    arguments: dict[str, Any] = {"api_key": key if key is not None else "none"}
    if url is not None:
        arguments["base_url"] = url
    match name.provider:
        case "google_genai":
            arguments["max_retries"] = 1
        case "anthropic":
            arguments["max_retries"] = 0
        case _:
            arguments |= {"max_retries": 0, "stream_usage": True, "stream_chunk_timeout": None}
            if provider.url_needed:
                arguments["use_responses_api"] = False
    return arguments


@dataclass(frozen=True)
class Choice:
    """A model that could be chosen: why it cannot be now, and what to do."""

    name: str
    provider: str
    reason: str = ""
    next_step: str = ""
    input_usd: float | None = None
    output_usd: float | None = None
    priced_as_of: str = ""
    chosen: bool = False
    own_key: bool = False


def choices(settings: ModelSettings, own: OwnKeys | None = None) -> list[Choice]:
    """The configured models first, then every model whose price is known; US dollars for a million tokens. `own`: the user's keys."""
    prices = known_prices(settings)
    configured = [name for name in (settings.model, *settings.model_fallbacks) if name != NONE]
    found = []
    for text in dict.fromkeys([*configured, *prices.prices]):
        name, price = parse_model(text), prices.of(text)
        choice = Choice(text, name.provider, chosen=text == settings.model)
        if price is not None:
            choice = replace(choice, input_usd=price.input, output_usd=price.output, priced_as_of=str(price.as_of or ""))
        try:
            require(name, settings, own)
            choice = replace(choice, own_key=has_own_key(name, own))
        except SettingsError as error:
            choice = replace(choice, reason=error.message, next_step=error.next_step)
        found.append(choice)
    return found
