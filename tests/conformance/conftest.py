"""Every sandbox in turn, opened on a workspace with a space and accents in its name."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from shared.sandbox.bubblewrap import BubblewrapProvider
from shared.sandbox.docker import DockerProvider, Found
from shared.sandbox.e2b import E2BProvider
from shared.sandbox.e2b_machine import E2BAccount
from shared.sandbox.landlock import LandlockProvider
from shared.sandbox.port import Limits, Sandbox, SandboxProvider, SandboxSpec
from shared.sandbox.process import ProcessProvider
from tests.stand_ins.e2b import E2BStandIn, open_e2b
from tests.stand_ins.e2b_machine import missing

LIMITS = Limits(memory_mb=256, processes=40, disk_mb=40, output_bytes=100_000)


ELSEWHERE = ("docker", "gvisor")
_seen: dict[str, Found | None] = {}
"""What a trial of a runtime showed: one for the whole run."""


@pytest.fixture
def e2b_service(tmp_path: Path) -> Iterator[E2BStandIn]:
    if reason := missing():
        pytest.skip(reason)
    with open_e2b(tmp_path / "e2b") as stand_in:
        yield stand_in


PROVIDERS = ["bubblewrap", "landlock", "process", *(pytest.param(name, marks=pytest.mark.slow) for name in ("docker", "e2b", "gvisor"))]


@pytest.fixture(params=PROVIDERS)
async def provider(request: pytest.FixtureRequest, tmp_path: Path) -> SandboxProvider:
    makers: dict[str, Callable[[], SandboxProvider]] = {
        "bubblewrap": BubblewrapProvider,
        "landlock": lambda: LandlockProvider(tmp_path / "data"),
        "process": lambda: ProcessProvider(tmp_path / "data"),
        "docker": lambda: DockerProvider(runtime="runc", found=_seen.get("docker")),
        "gvisor": lambda: DockerProvider(runtime="runsc", found=_seen.get("gvisor")),
    }
    if request.param == "e2b":
        service: E2BStandIn = request.getfixturevalue("e2b_service")
        return E2BProvider(E2BAccount(SecretStr(service.key), "persevere", 600, service.url, service.url))
    if request.param in ELSEWHERE:
        request.getfixturevalue("docker_engine")
    provider = makers[request.param]()
    probe = await provider.probe()
    if not probe.works:
        pytest.skip(f"{probe.reason}. {probe.next_step}")
    if isinstance(provider, DockerProvider):
        _seen[request.param] = provider.found
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
