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
