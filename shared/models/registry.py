"""From a setting to a model. Nothing of langchain is imported before the first call."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from shared.errors import SettingsError
from shared.models.names import NONE, PROVIDERS, ModelName, ModelSettings, parse_model, require
from shared.models.port import ModelError, ModelPort, Spend
from shared.models.prices import PriceTable, load_prices

if TYPE_CHECKING:
    from langchain_core.language_models import BaseChatModel

    from shared.models.guarded import Candidate, Patience

PRICES = Path(__file__).resolve().parents[2] / "config" / "models.yaml"


def choose_model(setting: str, settings: ModelSettings) -> ModelPort | None:
    """The model of a setting, with the fallbacks; None for `none`. `SettingsError` says what is missing."""
    if setting == NONE:
        return None
    name = parse_model(setting)
    fallbacks = [other for other in map(parse_model, settings.model_fallbacks) if other != name]
    for one in (name, *fallbacks):
        require(one, settings)
    return ChosenModel(name, tuple(fallbacks), settings)


@dataclass(frozen=True)
class ChosenModel:
    """A model and its fallbacks. Clients are made at the first call and kept: they hold connections."""

    model: ModelName
    fallbacks: tuple[ModelName, ...]
    settings: ModelSettings

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

        return tuple(
            Candidate(name, _Client(name, self.settings), self.prices.of(str(name)), secrets_of(self.settings))
            for name in (self.model, *self.fallbacks)
        )

    def _profile(self) -> Any:
        """What is known of the model's window. Structured answers go through a tool call: every provider and fallback has those."""
        profile = dict(self._candidates[0].open().profile or {})
        return {**profile, "structured_output": False}


def known_prices(settings: ModelSettings) -> PriceTable:
    """The table that comes with Persevere and the operator's own. `SettingsError` when a file is wrong."""
    return load_prices(PRICES, *([settings.model_prices] if settings.model_prices is not None else []))


def secrets_of(settings: ModelSettings) -> tuple[str, ...]:
    """Every key, to be struck from texts."""
    keys = (settings.openai_api_key, settings.anthropic_api_key, settings.google_api_key)
    return tuple(key.get_secret_value() for key in keys if key is not None)


class _Client:
    """Makes the client when it is first needed."""

    def __init__(self, name: ModelName, settings: ModelSettings) -> None:
        self._make = partial(open_client, name, settings)
        self._made: BaseChatModel | None = None

    def __call__(self) -> BaseChatModel:
        if self._made is None:
            self._made = self._make()
        return self._made


def open_client(name: ModelName, settings: ModelSettings) -> BaseChatModel:
    """The provider's client as langchain makes it, without retries of its own. `ModelError` when it cannot be made."""
    from langchain.chat_models import init_chat_model

    provider = PROVIDERS.get(name.provider)
    try:
        client, arguments = (provider.client, _arguments(name, settings)) if provider is not None else (name.provider, {})
        made: BaseChatModel = init_chat_model(name.model, model_provider=client, **arguments)
    except Exception as exc:
        raise ModelError(
            f"The client for {name} cannot be made ({type(exc).__name__}).",
            "Check the model's name, its key and its address: `persevere doctor`.",
            code="model_unavailable",
        ) from None
    return made


def _arguments(name: ModelName, settings: ModelSettings) -> dict[str, Any]:
    provider = PROVIDERS[name.provider]
    key, url = getattr(settings, provider.key), getattr(settings, provider.url)
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
    chosen: bool = False


def choices(settings: ModelSettings) -> list[Choice]:
    """The configured models first, then every model whose price is known; US dollars for a million tokens."""
    prices = known_prices(settings)
    configured = [name for name in (settings.model, *settings.model_fallbacks) if name != NONE]
    found = []
    for text in dict.fromkeys([*configured, *prices.prices]):
        name, price = parse_model(text), prices.of(text)
        choice = Choice(text, name.provider, chosen=text == settings.model)
        if price is not None:
            choice = replace(choice, input_usd=price.input, output_usd=price.output)
        try:
            require(name, settings)
        except SettingsError as error:
            choice = replace(choice, reason=error.message, next_step=error.next_step)
        found.append(choice)
    return found
