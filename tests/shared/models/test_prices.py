from __future__ import annotations

from pathlib import Path

import pytest

from shared.errors import SettingsError
from shared.models.names import parse_model
from shared.models.prices import Price, PriceTable, Tokens, load_prices
from shared.models.registry import PRICES


def test_cached_tokens_have_their_own_price() -> None:
    price = Price(input=2, output=10, cache_read=0.5, cache_write=4)
    assert price.cost(Tokens(input=1_000_000, output=100_000, cache_read=400_000, cache_write=100_000)) == pytest.approx(1 + 1 + 0.2 + 0.4)
    assert Price(input=2, output=10).cost(Tokens(input=1000, cache_read=1000)) == pytest.approx(0.002)


def test_a_long_prompt_may_have_another_price() -> None:
    price = Price(input=1, output=1, over_200k=Price(input=2, output=2))
    assert price.cost(Tokens(input=200_000)) == pytest.approx(0.2)
    assert price.cost(Tokens(input=300_000)) == pytest.approx(0.6)


def test_the_longest_prompts_may_have_a_price_of_their_own() -> None:
    price = Price(input=1, output=1, over_272k=Price(input=3, output=3))
    assert price.cost(Tokens(input=272_000)) == pytest.approx(0.272)
    assert price.cost(Tokens(input=300_000)) == pytest.approx(0.9)


def test_every_price_that_comes_with_persevere_says_where_it_was_read_and_when() -> None:
    prices = load_prices(PRICES).prices
    assert [name for name, price in prices.items() if not (price.source or "").startswith("https://") or price.as_of is None] == []
    assert len(prices) > 30


@pytest.mark.parametrize("name", ["openai:gpt-5", "openai:gpt-5-2025-08-07", "openai:gpt-5-20250807", "openai:gpt-5-latest"])
def test_a_dated_name_has_the_price_of_its_model(name: str) -> None:
    table = PriceTable(prices={"openai:gpt-5": Price(input=1, output=2)})
    assert table.of(name) is not None


@pytest.mark.parametrize("name", ["openai:gpt-5-mini", "openai:gpt-5.5", "openai:gpt-5-5", "other:gpt-5"])
def test_another_model_has_an_unknown_price(name: str) -> None:
    assert PriceTable(prices={"openai:gpt-5": Price(input=1, output=2)}).of(name) is None


def test_the_table_that_comes_with_persevere_names_models() -> None:
    names = [parse_model(name) for name in load_prices(PRICES).prices]
    assert {name.provider for name in names} == {"openai", "anthropic", "google_genai"}


def test_a_later_file_wins(tmp_path: Path) -> None:
    own = tmp_path / "own.yaml"
    own.write_text('prices: {"openai:gpt-5": {input: 7, output: 8}, "openai-compatible:qwen": {input: 0, output: 0}}')
    table = load_prices(PRICES, own)
    assert table.prices["openai:gpt-5"].input == 7
    assert table.of("openai-compatible:qwen") == Price(input=0, output=0)


@pytest.mark.parametrize(
    "text",
    [
        "prices: {x: {input: 1, output: 1, source: nobody}}",
        "prices: [",
        "prices: {x: {input: -1, output: 1}}",
        "prices: {x: {input: .inf, output: 1}}",
        "cost: 1",
        "- 1",
    ],
)
def test_a_wrong_file_is_named(text: str, tmp_path: Path) -> None:
    path = tmp_path / "wrong.yaml"
    path.write_text(text)
    with pytest.raises(SettingsError, match=r"wrong\.yaml"):
        load_prices(path)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"nowhere\.yaml"):
        load_prices(tmp_path / "nowhere.yaml")
