from __future__ import annotations

from pathlib import Path

import pytest

from shared.errors import SandboxError
from shared.sandbox import registry
from shared.sandbox.process import ProcessProvider
from shared.sandbox.registry import choose_sandbox


async def test_an_unknown_name_lists_the_valid_ones(tmp_path: Path) -> None:
    with pytest.raises(SandboxError) as caught:
        await choose_sandbox("chroot", data_dir=tmp_path)
    assert "auto, bubblewrap, landlock, process" in caught.value.next_step


async def test_process_only_when_asked_for(tmp_path: Path) -> None:
    assert not (await choose_sandbox("process", data_dir=tmp_path)).isolated


async def test_nothing_works_says_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "PROVIDERS", {"process": ProcessProvider})
    with pytest.raises(SandboxError) as caught:
        await choose_sandbox("auto", data_dir=tmp_path)
    assert "apt-get install bubblewrap" in caught.value.next_step
    assert "PERSEVERE_SANDBOX=process" in caught.value.next_step


async def test_bubblewrap_missing_from_the_path_falls_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(SandboxError) as caught:
        await choose_sandbox("bubblewrap", data_dir=tmp_path)
    assert "apt-get install bubblewrap" in caught.value.next_step
