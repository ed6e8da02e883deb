from __future__ import annotations

import pytest

from agents.coder.dependencies import declared


@pytest.mark.parametrize(
    ("path", "text", "names"),
    [
        ("requirements.txt", "# a\nrequests>=2\n-r other.txt\nFlask[async]==1\n", {"requests", "flask"}),
        ("requirements/dev.txt", "pytest\n", {"pytest"}),
        (
            "pyproject.toml",
            '[project]\ndependencies=["httpx>1"]\n[dependency-groups]\ndev=["ruff", {include-group="x"}]',
            {"httpx", "ruff"},
        ),
        ("a/pyproject.toml", '[tool.poetry.dependencies]\npython="^3"\nRich="*"', {"python", "rich"}),
        ("package.json", '{"dependencies": {"left-pad": "1"}, "devDependencies": {"jest": "2"}}', {"left-pad", "jest"}),
        ("go.mod", "module x\nrequire github.com/a/b v1.0.0\n", {"github.com/a/b"}),
        ("Cargo.toml", '[dependencies]\nserde = "1"', {"serde"}),
        ("package.json", "{broken", set()),
        ("notes.txt", "requests", set()),
    ],
)
def test_declared(path: str, text: str, names: set[str]) -> None:
    assert declared(path, text) == names
