from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from agent_orchestrator.cli.commands import spell_out_yes
from agent_orchestrator.cli.deciders import Choice, NobodyDecider, YesDecider, decider_for
from agent_orchestrator.cli.repository import enclosing, named
from agent_orchestrator.cli.views import JsonView
from shared.types import RiskLevel

HEAVY = {
    "asyncio",
    "fastapi",
    "httpx",
    "langchain_core",
    "langgraph",
    "procrastinate",
    "psycopg",
    "pydantic",
    "rope",
    "sqlalchemy",
    "uvicorn",
}


def test_yes_alone_means_medium() -> None:
    assert spell_out_yes(["chat", "--yes", "x"]) == ["chat", "--yes=medium", "x"]
    assert spell_out_yes(["chat", "--yes=all"]) == ["chat", "--yes=all"]
    assert spell_out_yes(["chat", "--", "--yes"]) == ["chat", "--", "--yes"]


@pytest.mark.parametrize(
    ("limit", "risk", "approves"),
    [
        ("medium", "low", True),
        ("medium", "medium", True),
        ("medium", "high", False),
        ("all", "critical", True),
        ("all", "unheard of", False),
    ],
)
async def test_yes_answers_up_to_its_limit(limit: str, risk: str, approves: bool) -> None:
    decider = decider_for(limit, as_json=True)
    assert isinstance(decider, YesDecider)
    choice = await decider.decide({"risk": {"level": risk}}, JsonView())
    word = "--yes" if limit == "medium" else "--yes=all"
    assert choice == (Choice("approve", told=f"approved by {word} (risk {risk})") if approves else None)


async def test_a_missing_risk_is_not_answered() -> None:
    assert await YesDecider(RiskLevel.CRITICAL, "--yes=all").decide({}, JsonView()) is None


def test_json_never_asks() -> None:
    assert isinstance(decider_for("", as_json=True), NobodyDecider)


def test_the_repository_one_is_in(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    assert enclosing(inner) == str(tmp_path)
    assert named("owner/name-that-is-no-folder") == "owner/name-that-is-no-folder"
    assert named(str(inner)) == str(inner.resolve())


def test_help_imports_nothing_heavy() -> None:
    script = (
        "import sys; from agent_orchestrator.cli.entry import run; code = run(['--help']);"
        f"heavy = sorted({HEAVY!r} & set(sys.modules)); sys.exit(f'{{code}} {{heavy}}' if code or heavy else 0)"
    )
    ran = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert ran.returncode == 0, ran.stderr
    assert "chat" in ran.stdout
