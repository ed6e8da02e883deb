from __future__ import annotations

import asyncio
import shutil
import subprocess
import time
from pathlib import Path

import pytest

from shared.errors import RepositoryError
from shared.forge import fingerprint, local, objects, source
from shared.forge.fingerprint import Fingerprint, Remembered
from shared.forge.git import run_git
from shared.forge.local import LocalForge

SETTLED_S = 0.15


def git(repo: Path, *arguments: str) -> str:
    command = ["git", "-C", str(repo), "-c", "user.name=T", "-c", "user.email=t@localhost", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    folder = tmp_path / "shop"
    folder.mkdir()
    (folder / "app.py").write_text("x = 1\n")
    git(folder, "init", "-q", "-b", "main")
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", "start")
    time.sleep(SETTLED_S)
    return folder


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The git commands that were run."""
    commands: list[str] = []
    real = run_git

    async def count(*args: object, **options: object) -> object:
        commands.append(str(args[0]))
        return await real(*args, **options)  # type: ignore[arg-type]

    for module in (local, source, objects):
        monkeypatch.setattr(module, "run_git", count)
    return commands


async def test_nothing_changed_asks_nothing(repo: Path, tmp_path: Path, asked: list[str]) -> None:
    forge = LocalForge(tmp_path / "data")
    first = await forge.inspect(str(repo))
    assert asked
    asked.clear()
    assert await forge.inspect(str(repo)) == first
    assert asked == []


async def test_a_change_is_noticed_at_once(repo: Path, tmp_path: Path) -> None:
    forge = LocalForge(tmp_path / "data")

    async def look(branch: str | None = None) -> tuple[str, str | None, tuple[str, ...]]:
        await asyncio.sleep(SETTLED_S)
        await forge.inspect(str(repo), branch)
        found = await forge.inspect(str(repo), branch)
        return found.head_commit, found.default_branch, found.notes

    head, branch, notes = await look()
    assert (branch, notes) == ("main", ())
    (repo / "app.py").write_text("x = 2\n")
    assert "uncommitted changes" in " ".join((await forge.inspect(str(repo))).notes)
    git(repo, "commit", "-q", "-am", "two")
    second = await forge.inspect(str(repo))
    assert (second.head_commit, second.notes) == (git(repo, "rev-parse", "HEAD"), ())
    assert (await look())[0] == second.head_commit != head
    (repo / "new.txt").write_text("new\n")
    assert "untracked files" in " ".join((await forge.inspect(str(repo))).notes)
    (repo / "new.txt").unlink()
    assert (await look())[2] == ()
    git(repo, "pack-refs", "--all")
    assert (await look())[0] == second.head_commit
    git(repo, "checkout", "-q", "-b", "other", head)
    third = await forge.inspect(str(repo))
    assert (third.head_commit, third.default_branch) == (head, "other")
    assert (await look("main"))[0] == second.head_commit
    git(repo, "branch", "-f", "main", head)
    assert (await forge.inspect(str(repo), "main")).head_commit == head
    await look()
    git(repo, "checkout", "-q", "--detach", second.head_commit)
    assert (await forge.inspect(str(repo))).default_branch is None


async def test_a_removed_repository_is_noticed_at_once(repo: Path, tmp_path: Path) -> None:
    forge = LocalForge(tmp_path / "data")
    await forge.inspect(str(repo))
    await forge.inspect(str(repo))
    shutil.rmtree(repo / ".git")
    with pytest.raises(RepositoryError):
        await forge.inspect(str(repo))
    shutil.rmtree(repo)
    with pytest.raises(RepositoryError):
        await forge.inspect(str(repo))


async def test_a_nearer_repository_is_noticed_at_once(repo: Path, tmp_path: Path) -> None:
    forge, inner = LocalForge(tmp_path / "data"), repo / "inner"
    inner.mkdir()
    await asyncio.sleep(SETTLED_S)
    assert (await forge.inspect(str(inner))).repo == (await forge.inspect(str(inner))).repo == str(repo)
    git(inner, "init", "-q")
    with pytest.raises(RepositoryError):
        await forge.inspect(str(inner))


async def test_linked_working_trees_and_bare_repositories(repo: Path, tmp_path: Path, asked: list[str]) -> None:
    forge, linked, bare = LocalForge(tmp_path / "data"), tmp_path / "linked", tmp_path / "bare.git"
    git(repo, "worktree", "add", "-q", "-b", "side", str(linked))
    git(repo, "clone", "-q", "--bare", str(repo), str(bare))
    await asyncio.sleep(SETTLED_S)
    for place in (linked, bare):
        first = await forge.inspect(str(place))
        asked.clear()
        assert await forge.inspect(str(place)) == first
        assert asked == []
    (linked / "app.py").write_text("x = 3\n")
    git(linked, "commit", "-q", "-am", "side")
    assert (await forge.inspect(str(linked))).head_commit == git(linked, "rev-parse", "HEAD")


@pytest.mark.parametrize("name", ["", "/no/such/folder", "\0", "~nobody\0"])
def test_what_files_do_not_tell_is_asked(name: str, tmp_path: Path) -> None:
    assert fingerprint.of_repository(name or str(tmp_path), None) is None


def test_unusual_heads_are_asked(repo: Path) -> None:
    for head in ("ref: refs/bisect/x\n", "ref: refs/heads/../../x\n"):
        (repo / ".git" / "HEAD").write_text(head)
        assert fingerprint.of_repository(str(repo), None) is None


def test_what_is_too_young_or_too_much_is_not_kept(tmp_path: Path) -> None:
    (tmp_path / "f").write_text("1")
    young = Fingerprint()
    young.stamp(tmp_path / "f")
    known: Remembered[int] = Remembered(2)
    known.put("young", 1, young, time.time_ns())
    assert known.get("young", young) is None
    sign = Fingerprint()
    for name in ("a", "b", "c"):
        known.put(name, 1, sign, time.time_ns())
    assert [known.get(name, sign) for name in ("a", "b", "c")] == [None, 1, 1]
    assert fingerprint.of_files(["/nowhere"] * 10_000) is None
