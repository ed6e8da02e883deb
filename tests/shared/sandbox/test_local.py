"""Where no control group can be made, the limits hold by other means; and what a killed owner leaves behind goes away."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from shared.sandbox.bubblewrap import BubblewrapProvider
from shared.sandbox.landlock import LandlockProvider
from shared.sandbox.port import Command, Limits, SandboxSpec
from shared.sandbox.process import ProcessProvider

NAMES = ["bubblewrap", "landlock", "process"]
OWNER = """
import asyncio, sys
from pathlib import Path
from config.settings import load_settings
from shared.sandbox.port import Command, SandboxSpec
from shared.sandbox.registry import choose_sandbox
async def main():
    provider = await choose_sandbox(load_settings({}, sandbox=sys.argv[1], data_dir=sys.argv[2]))
    sandbox = await provider.open(SandboxSpec(workspace=Path(sys.argv[3]), task_id="t"))
    await sandbox.run(Command(argv=["/bin/sh", "-c", f"(setsid setsid sleep {sys.argv[4]} &); sleep 60"]))
asyncio.run(main())
"""


def build(name: str, folder: Path) -> BubblewrapProvider | ProcessProvider:
    return BubblewrapProvider() if name == "bubblewrap" else LandlockProvider(folder) if name == "landlock" else ProcessProvider(folder)


def alive(marker: str) -> bool:
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and f"sleep\0{marker}" in (entry / "cmdline").read_text():
                return True
        except OSError:
            continue
    return False


@pytest.mark.parametrize("name", NAMES)
async def test_limits_without_control_groups(name: str, tmp_path: Path) -> None:
    provider = build(name, tmp_path / "data")
    provider._looked = True
    probe = await provider.probe()
    if not probe.works:
        pytest.skip(f"{probe.reason}. {probe.next_step}")
    workspace = tmp_path / "w"
    workspace.mkdir()
    sandbox = await provider.open(SandboxSpec(workspace=workspace, task_id="t", limits=Limits(memory_mb=200, processes=30)))
    marker = f"6{os.getpid()}.5"
    try:
        left = await sandbox.run(
            Command(argv=["/bin/sh", "-c", f"(setsid setsid sleep {marker} >/dev/null 2>&1 &); sleep 9"], timeout_s=0.5)
        )
        assert left.stopped_by == "timeout"
        assert not alive(marker)
        memory = await sandbox.run(Command(argv=["python3", "-c", "import time; x = bytearray(400 << 20); time.sleep(5); print('had it')"]))
        assert "had it" not in memory.stdout
        many = f"for i in $(seq 200); do sleep {marker} & done 2>/dev/null; wait"
        bounded = await sandbox.run(Command(argv=["/bin/sh", "-c", many], timeout_s=3))
        assert bounded.stopped_by == "memory" or bounded.exit_code not in (0, None)
        assert not alive(marker)
    finally:
        await sandbox.aclose()


@pytest.mark.parametrize("name", NAMES)
async def test_nothing_outlives_a_killed_owner(name: str, tmp_path: Path) -> None:
    provider = build(name, tmp_path / "data")
    probe = await provider.probe()
    if not probe.works:
        pytest.skip(f"{probe.reason}. {probe.next_step}")
    marker = f"7{os.getpid()}.5"
    (tmp_path / "w").mkdir()
    owner = subprocess.Popen([sys.executable, "-c", OWNER, name, str(tmp_path / "data"), str(tmp_path / "w"), marker])
    end = time.monotonic() + 20
    while not alive(marker) and time.monotonic() < end:
        await asyncio.sleep(0.02)
    assert alive(marker)
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    end = time.monotonic() + 5
    while alive(marker) and time.monotonic() < end:
        await asyncio.sleep(0.02)
    assert not alive(marker)
    assert provider.groups() is None or await provider.sweep() >= 1
    assert await provider.sweep() == 0
