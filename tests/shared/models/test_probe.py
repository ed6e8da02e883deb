from __future__ import annotations

import pytest

from shared.models.names import ModelName
from shared.models.port import ModelError
from shared.models.probe import probe
from tests.shared.models.conftest import Bench


async def test_a_model_that_can_be_used_is_found_without_a_call(bench: Bench) -> None:
    assert await probe(ModelName(bench.provider, "big"), bench.settings())
    assert bench.stand_in.bodies == []


async def test_an_unknown_model_is_told(bench: Bench) -> None:
    with pytest.raises(ModelError) as caught:
        await probe(ModelName(bench.provider, "huge"), bench.settings())
    assert caught.value.code == "model_unknown"


async def test_a_wrong_key_is_told(bench: Bench) -> None:
    variable = next(name for name in bench.environment if name.endswith("_API_KEY"))
    with pytest.raises(ModelError) as caught:
        await probe(ModelName(bench.provider, "big"), bench.settings(**{variable: "sk-wrong-0123456789"}))
    assert caught.value.code == "model_key_rejected"


async def test_a_server_that_is_not_there_is_told(bench: Bench) -> None:
    address = next(name for name in bench.environment if name.endswith("_BASE_URL"))
    with pytest.raises(ModelError) as caught:
        await probe(ModelName(bench.provider, "big"), bench.settings(**{address: "http://127.0.0.1:9/v1"}))
    assert caught.value.code == "model_unavailable"
    assert "cannot be reached" in caught.value.message
