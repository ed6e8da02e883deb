from __future__ import annotations

import asyncio
import os
import time
from pathlib import Path

import pytest

from shared.errors import UnavailableError
from shared.forge.git import GitError, run_git


async def test_the_person_s_environment_does_not_reach_git(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "user.name")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "Mallory")
    monkeypatch.setenv("GIT_DIR", "/somewhere")
    (tmp_path / ".gitconfig").write_text("[user]\n\tname = Mallory\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert (await run_git("config", "user.name", check=False)).exit_code == 1


async def test_a_refusal_is_a_typed_error_that_does_not_show_stderr() -> None:
    with pytest.raises(GitError) as caught:
        await run_git("cat-file", "blob", "0" * 40, git_dir=Path("/nonexistent"))
    assert "nonexistent" not in caught.value.message
    assert "not a git repository" in caught.value.stderr
    assert caught.value.next_step


async def test_what_takes_too_long_is_ended(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    started = time.monotonic()
    with pytest.raises(GitError, match="took longer"):
        await run_git("hash-object", fifo, timeout_s=0.3)
    assert time.monotonic() - started < 5


async def test_cancelling_ends_the_process(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    work = asyncio.create_task(run_git("hash-object", fifo))
    await asyncio.sleep(0.2)
    work.cancel()
    with pytest.raises(asyncio.CancelledError):
        await work
    reader_gone = False
    try:
        os.close(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))
    except OSError:
        reader_gone = True
    assert reader_gone


async def test_no_git(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", f"{tmp_path}:.")
    with pytest.raises(UnavailableError, match="git is not installed"):
        await run_git("version")
