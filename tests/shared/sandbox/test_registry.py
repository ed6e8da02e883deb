from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pytest
from pydantic import SecretStr

from shared.errors import SandboxError
from shared.sandbox import registry
from shared.sandbox.process import ProcessProvider
from shared.sandbox.registry import choose_sandbox


@dataclass(frozen=True)
class Chosen:
    data_dir: Path
    sandbox: str
    sandbox_image: str = "persevere-sandbox"
    sandbox_runtime: str | None = None
    sandbox_template: str = "persevere"
    sandbox_ttl_s: int = 3600
    e2b_api_key: SecretStr | None = None
    e2b_api_url: str | None = None
    e2b_sandbox_url: str | None = None


async def test_an_unknown_name_lists_the_valid_ones(tmp_path: Path) -> None:
    with pytest.raises(SandboxError) as caught:
        await choose_sandbox(Chosen(tmp_path, "chroot"))
    assert "auto, bubblewrap, landlock, docker, process" in caught.value.next_step


async def test_process_only_when_asked_for(tmp_path: Path) -> None:
    assert not (await choose_sandbox(Chosen(tmp_path, "process"))).isolated


async def test_e2b_without_a_key_says_where_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(SandboxError) as caught:
        await choose_sandbox(Chosen(tmp_path, "e2b"))
    assert "E2B_API_KEY is not set" in caught.value.message
    assert "https://e2b.dev/dashboard?tab=keys" in caught.value.next_step


async def test_nothing_works_says_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "PROVIDERS", {"process": lambda settings: ProcessProvider(settings.data_dir)})
    with pytest.raises(SandboxError) as caught:
        await choose_sandbox(Chosen(tmp_path, "auto"))
    assert "apt-get install bubblewrap" in caught.value.next_step
    assert "PERSEVERE_SANDBOX=process" in caught.value.next_step


async def test_bubblewrap_missing_from_the_path_falls_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxError) as caught:
        await choose_sandbox(Chosen(tmp_path, "bubblewrap"))
    assert "apt-get install bubblewrap" in caught.value.next_step
