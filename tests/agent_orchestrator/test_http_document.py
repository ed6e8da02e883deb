"""The document names every address."""

from __future__ import annotations

from pathlib import Path

from agent_orchestrator.app import build_app
from config.settings import Settings

DOCUMENT = Path(__file__).resolve().parents[2] / "support" / "docs" / "http.md"


def test_every_route_is_in_the_document(tmp_path: Path) -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    paths = build_app(Settings(data_dir=tmp_path)).openapi()["paths"]
    missing = [
        f"{method.upper()} {path}" for path, methods in paths.items() for method in methods if f"{method.upper()} `{path}`" not in text
    ]
    assert missing == []
