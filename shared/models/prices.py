"""What calls cost: a table of US dollars for a million tokens, from YAML. A model that is not in it has an unknown price."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from shared.errors import SettingsError

_MILLION = 1_000_000
_DATE = re.compile(r"-(\d{8}|\d{4}-\d{2}-\d{2}|\d{3}|latest)$")


class Price(BaseModel):
    """US dollars for a million tokens. What is read from the provider's cache, or written to it, may have its own price."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: float = Field(ge=0, allow_inf_nan=False)
    output: float = Field(ge=0, allow_inf_nan=False)
    cache_read: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    cache_write: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    over_200k: Price | None = None
    """The price of a call whose input is longer than 200,000 tokens; `over_272k` than 272,000."""
    over_272k: Price | None = None
    source: str | None = None
    """Where the price was read: a name of the file's `sources`, once loaded the address behind it."""
    as_of: date | None = None
    """When it was read there."""

    def cost(self, tokens: Tokens) -> float:
        """US dollars of one call."""
        if self.over_272k is not None and tokens.input > 272_000:
            return self.over_272k.cost(tokens)
        if self.over_200k is not None and tokens.input > 200_000:
            return self.over_200k.cost(tokens)
        plain = max(0, tokens.input - tokens.cache_read - tokens.cache_write)
        spent = plain * self.input + tokens.output * self.output
        spent += tokens.cache_read * (self.input if self.cache_read is None else self.cache_read)
        spent += tokens.cache_write * (self.input if self.cache_write is None else self.cache_write)
        return spent / _MILLION


@dataclass(frozen=True)
class Tokens:
    """Of one call; `input` includes what was read from the cache and written to it."""

    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0


class Source(BaseModel):
    """Where prices were read, and when."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: str
    read: date


class PriceTable(BaseModel):
    """By `provider:name`. A dated or versioned name (`gpt-5-2025-08-07`) has the price of the name it begins with."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    prices: Mapping[str, Price] = Field(default_factory=dict)
    sources: Mapping[str, Source] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _sources_are_named(self) -> PriceTable:
        unknown = sorted({price.source for price in self.prices.values() if price.source is not None} - set(self.sources))
        if unknown:
            raise ValueError(f"{unknown[0]!r} is none of the sources")
        return self

    def resolved(self) -> Mapping[str, Price]:
        """The prices, each with its source's address and date."""
        found = {}
        for name, price in self.prices.items():
            source = self.sources.get(price.source or "")
            found[name] = price if source is None else price.model_copy(update={"source": source.url, "as_of": source.read})
        return found

    def of(self, name: str) -> Price | None:
        if name in self.prices:
            return self.prices[name]
        return self.prices.get(_DATE.sub("", name))


def load_prices(*paths: Path) -> PriceTable:
    """Later files win. `SettingsError` names the file and what is wrong with it."""
    prices: dict[str, Price] = {}
    for path in paths:
        prices.update(_read(path).resolved())
    return PriceTable.model_construct(prices=prices, sources={})


def _read(path: Path) -> PriceTable:
    import yaml

    try:
        raw: Any = yaml.safe_load(path.read_bytes())
        return PriceTable.model_validate(raw or {})
    except OSError as exc:
        raise _wrong(path, "it cannot be read") from exc
    except (yaml.YAMLError, ValueError) as exc:
        detail = "not valid YAML"
        if isinstance(exc, ValidationError):
            first = exc.errors()[0]
            detail = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise _wrong(path, detail) from exc


def _wrong(path: Path, detail: str) -> SettingsError:
    return SettingsError(f"The price table {path} is wrong: {detail}.", "Correct the file and start again.")
