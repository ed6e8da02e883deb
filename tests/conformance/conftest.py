"""Every sandbox in turn, opened on a workspace with a space and accents in its name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from shared.sandbox.bubblewrap import BubblewrapProvider
from shared.sandbox.landlock import LandlockProvider
from shared.sandbox.port import Limits, Sandbox, SandboxProvider, SandboxSpec
from shared.sandbox.process import ProcessProvider

LIMITS = Limits(memory_mb=256, processes=40, disk_mb=40, output_bytes=100_000)


@pytest.fixture(params=["bubblewrap", "landlock", "process"])
async def provider(request: pytest.FixtureRequest, tmp_path: Path) -> SandboxProvider:
    found: dict[str, SandboxProvider] = {
        "bubblewrap": BubblewrapProvider(),
        "landlock": LandlockProvider(tmp_path / "data"),
        "process": ProcessProvider(tmp_path / "data"),
    }
    provider = found[request.param]
    probe = await provider.probe()
    if not probe.works:
        pytest.skip(f"{probe.reason}. {probe.next_step}")
    return provider


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "a workspace é ü"
    folder.mkdir()
    return folder


@pytest.fixture
async def sandbox(provider: SandboxProvider, workspace: Path) -> AsyncIterator[Sandbox]:
    opened = await provider.open(SandboxSpec(workspace=workspace, task_id="task_1", limits=LIMITS))
    yield opened
    await opened.aclose()


@pytest.fixture
async def isolated(provider: SandboxProvider, sandbox: Sandbox) -> Sandbox | None:
    return sandbox if provider.isolated else None
