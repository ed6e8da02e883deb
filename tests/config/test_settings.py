from __future__ import annotations

from pathlib import Path

import pytest

from config.settings import load_settings
from shared.errors import SettingsError


def test_defaults_listen_on_loopback(tmp_path: Path) -> None:
    settings = load_settings({"PERSEVERE_DATA_DIR": str(tmp_path)})
    assert (settings.host, settings.port, settings.sandbox, settings.model) == ("127.0.0.1", 8001, "auto", "none")
    assert settings.base_url == "http://127.0.0.1:8001"


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PERSEVERE_PORT", "ninety"),
        ("PERSEVERE_PORT", "70000"),
        ("PERSEVERE_SANDBOX", "magic"),
        ("PERSEVERE_TOKEN", "short"),
        ("DATABASE_URL", "mysql://x/y"),
        ("REDIS_URL", "localhost:6379"),
        ("PERSEVERE_CHECKPOINTS", "redis"),
        ("PERSEVERE_COLOUR", "blue"),
        ("PERSEVERE_MODEL", "gpt-5"),
        ("PERSEVERE_MODEL", "nobody:gpt-5"),
        ("PERSEVERE_MODEL", "openai:gpt-5"),
        ("PERSEVERE_MODEL", "openai-compatible:qwen"),
        ("PERSEVERE_MODEL_FALLBACKS", "anthropic:claude-sonnet-4-5"),
        ("PERSEVERE_MODEL_SILENCE_S", "0"),
    ],
)
def test_a_wrong_setting_is_named(variable: str, value: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({"PERSEVERE_DATA_DIR": str(tmp_path), variable: value})
    assert variable in caught.value.message


def test_an_override_wins_over_the_environment(tmp_path: Path) -> None:
    assert load_settings({"PERSEVERE_PORT": "9000"}, port=9100, data_dir=tmp_path).port == 9100


def test_empty_variables_count_as_unset(tmp_path: Path) -> None:
    assert load_settings({"PERSEVERE_PORT": "", "DATABASE_URL": ""}, data_dir=tmp_path).port == 8001


def test_a_model_without_its_key_names_the_key(tmp_path: Path) -> None:
    with pytest.raises(SettingsError) as caught:
        load_settings({"PERSEVERE_DATA_DIR": str(tmp_path), "PERSEVERE_MODEL": "anthropic:claude-sonnet-4-5", "OPENAI_API_KEY": "sk-x"})
    assert "ANTHROPIC_API_KEY" in caught.value.message
    assert "ANTHROPIC_API_KEY" in caught.value.next_step


def test_a_local_server_needs_no_key(tmp_path: Path) -> None:
    settings = load_settings(
        {"OPENAI_BASE_URL": "http://127.0.0.1:11434/v1", "PERSEVERE_MODEL": "openai-compatible:qwen"}, data_dir=tmp_path
    )
    assert settings.model == "openai-compatible:qwen"


def test_fallbacks_are_separated_by_commas(tmp_path: Path) -> None:
    given = {"OPENAI_API_KEY": "sk-x", "PERSEVERE_MODEL": "openai:a", "PERSEVERE_MODEL_FALLBACKS": "openai:b, openai:c,"}
    assert load_settings(given, data_dir=tmp_path).model_fallbacks == ("openai:b", "openai:c")


def test_keys_are_never_shown(tmp_path: Path) -> None:
    settings = load_settings({"OPENAI_API_KEY": "sk-hidden-123"}, data_dir=tmp_path)
    assert "sk-hidden-123" not in repr(settings) + str(settings) + settings.model_dump_json()
