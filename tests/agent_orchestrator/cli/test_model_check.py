"""`persevere doctor` about models, and what a start without one loads."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from agent_orchestrator.cli.checks import model_check
from config.settings import load_settings
from tests.stand_ins.openai import OpenAIStandIn
from tests.stand_ins.script import serving

KEY = "sk-doctor-0123456789abcdef"


async def test_no_model_is_no_failure(tmp_path: Path) -> None:
    check = await model_check("none", load_settings({}, data_dir=tmp_path))
    assert (check.ok, check.needed) == (False, False)
    assert "PERSEVERE_MODEL" in check.next_step


async def test_a_model_is_asked_for(tmp_path: Path) -> None:
    async with serving(OpenAIStandIn(KEY, models=("gpt-5",))) as provider:
        given = {"OPENAI_API_KEY": KEY, "OPENAI_BASE_URL": provider.base_url, "PERSEVERE_MODEL": "openai:gpt-5"}
        good = await model_check("openai:gpt-5", load_settings(given, data_dir=tmp_path))
        assert (good.ok, good.message) == (True, "openai:gpt-5 can be used; 1.25 and 10 USD for a million tokens in and out")
        unknown = await model_check("openai:gpt-4", load_settings(given, data_dir=tmp_path))
        assert (unknown.ok, unknown.needed) == (False, True)
        assert "gpt-4" in unknown.message
        refused = await model_check("openai:gpt-5", load_settings({**given, "OPENAI_API_KEY": "sk-wrong-123456"}, data_dir=tmp_path))
        assert not refused.ok
        assert "OPENAI_API_KEY" in refused.next_step
        assert "sk-wrong" not in refused.line()


def test_a_start_without_a_model_loads_no_model_package() -> None:
    code = (
        "import sys, agent_orchestrator.app, agent_orchestrator.runtime.executor, agent_orchestrator.runtime.worker\n"
        "print(*sorted({name.split('.')[0] for name in sys.modules}))"
    )
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert set(loaded) & {"langchain", "langchain_openai", "langchain_anthropic", "langchain_google_genai", "openai", "anthropic"} == set()
