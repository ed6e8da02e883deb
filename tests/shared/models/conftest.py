"""Each provider's real client against a server on loopback that speaks its protocol."""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
from langchain_core.language_models import BaseChatModel

from config.settings import Settings, load_settings
from shared.models.guarded import GuardedChatModel
from shared.models.port import Usage
from shared.models.registry import choose_model
from tests.stand_ins.anthropic import AnthropicStandIn
from tests.stand_ins.google import GoogleStandIn
from tests.stand_ins.openai import OpenAIStandIn
from tests.stand_ins.script import StandIn, serving

KEY = "sk-test-0123456789abcdefghij"
PRICES = """prices:
  "openai:big": {input: 1, output: 10, cache_read: 0.1}
  "openai-compatible:big": {input: 1, output: 10, cache_read: 0.1}
  "anthropic:big": {input: 1, output: 10, cache_read: 0.1, cache_write: 2}
  "google_genai:big": {input: 1, output: 10, cache_read: 0.1}
"""
STAND_INS: dict[str, tuple[type[Any], str, str]] = {
    "openai": (OpenAIStandIn, "OPENAI_API_KEY", "OPENAI_BASE_URL"),
    "openai-compatible": (OpenAIStandIn, "OPENAI_API_KEY", "OPENAI_BASE_URL"),
    "anthropic": (AnthropicStandIn, "ANTHROPIC_API_KEY", "ANTHROPIC_BASE_URL"),
    "google_genai": (GoogleStandIn, "GOOGLE_API_KEY", "GOOGLE_GEMINI_BASE_URL"),
}


@dataclass
class Ledger:
    """A budget without a limit that remembers what it was told."""

    asked: int = 0
    told: list[tuple[str, Usage]] = field(default_factory=list)

    async def before(self) -> None:
        self.asked += 1

    async def after(self, model: str, usage: Usage) -> None:
        self.told.append((model, usage))


@dataclass
class Bench:
    """A provider's stand-in and what it takes to call it."""

    provider: str
    stand_in: StandIn
    environment: dict[str, str]
    ledger: Ledger = field(default_factory=Ledger)

    def settings(self, **more: str) -> Settings:
        return load_settings({**self.environment, **more})

    def model(self, name: str = "big", **more: str) -> BaseChatModel:
        """Impatient: it waits for milliseconds where the real one waits for seconds."""
        settings = self.settings(**more)
        chosen = choose_model(f"{self.provider}:{name}", settings)
        assert chosen is not None
        bound = chosen.bind(self.ledger)
        assert isinstance(bound, GuardedChatModel)
        return bound.model_copy(update={"patience": replace(bound.patience, first_wait_s=0.01)})


@pytest.fixture(params=list(STAND_INS))
async def bench(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Bench]:
    kind, key, url = STAND_INS[request.param]
    async with serving(kind(KEY)) as stand_in:
        prices = tmp_path / "prices.yaml"
        prices.write_text(PRICES)
        environment = {key: KEY, url: stand_in.base_url, "PERSEVERE_DATA_DIR": str(tmp_path), "PERSEVERE_MODEL_PRICES": str(prices)}
        yield Bench(request.param, stand_in, environment)
