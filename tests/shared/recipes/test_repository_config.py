from __future__ import annotations

import pytest

from shared.errors import RepositoryError
from shared.recipes.repository_config import RepositoryConfig, parse_repository_config
from shared.types import Gate, RiskLevel


@pytest.mark.parametrize("data", [None, b"", b"  \n", b"# nothing\n"])
def test_nothing_said(data: bytes | None) -> None:
    assert parse_repository_config(data) == RepositoryConfig()


def test_a_whole_file() -> None:
    config = parse_repository_config(
        b"version: 1\ntest: [pytest -q]\nnever_touch: ['*.lock']\ncommands:\n  deploy:\n    run: [make, '{target}']\n    targets: [dev]\n"
        b"approvals:\n  - name: migrations\n    paths: ['migrations/**']\n    approvers: [dba]\n"
    )
    assert config.test == ["pytest -q"]
    assert config.commands["deploy"].risk is RiskLevel.HIGH
    assert config.approvals[0].gate is Gate.DIFF


@pytest.mark.parametrize(
    ("data", "wanted"),
    [
        (b"a: [\n", "not valid YAML"),
        (b"- a\n", "line 1: expected a mapping"),
        (b"version: 1\ntset: []\n", "line 2: tset"),
        (b"version: 1\napprovals:\n  - name: x\n    gate: nope\n", "line 4: approvals.0.gate"),
        (b"\xff\xfe\x00", "not valid YAML"),
        (b"[" * 5000, "not valid YAML"),
        (b"a: !!python/object/apply:os.system [id]\n", "not valid YAML"),
    ],
)
def test_mistakes_name_the_line(data: bytes, wanted: str) -> None:
    with pytest.raises(RepositoryError) as caught:
        parse_repository_config(data)
    assert wanted in caught.value.message
    assert caught.value.code == "repository_config_invalid"
