"""Every shape of repository works or gets one clear sentence."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from shared.errors import RepositoryError
from shared.forge.local import LocalForge

Git = Callable[..., str]
Save = Callable[..., str]


async def refused(forge: LocalForge, path: Path | str, branch: str | None = None) -> RepositoryError:
    with pytest.raises(RepositoryError) as caught:
        await forge.inspect(str(path), branch)
    assert caught.value.next_step
    assert "\n" not in caught.value.message
    return caught.value


async def test_a_clean_repository(forge: LocalForge, repo: Path, run_git: Git) -> None:
    found = await forge.inspect(str(repo))
    assert found.repo == str(repo)
    assert found.default_branch == "main"
    assert found.head_commit == run_git(repo, "rev-parse", "HEAD")
    assert found.notes == ()


async def test_a_folder_inside(forge: LocalForge, repo: Path) -> None:
    inner = repo / "a" / "b"
    inner.mkdir(parents=True)
    assert (await forge.inspect(str(inner))).repo == str(repo)
    assert (await forge.inspect(str(repo / ".git"))).repo == str(repo)


async def test_a_link_to_a_repository(forge: LocalForge, repo: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(repo)
    assert (await forge.inspect(str(tmp_path / "link"))).repo == str(repo)


async def test_uncommitted_changes_are_noted_and_the_index_is_not_written(forge: LocalForge, repo: Path) -> None:
    (repo / "app.py").write_text("changed\n")
    (repo / "new.txt").write_text("new\n")
    before = (repo / ".git" / "index").stat()
    found = await forge.inspect(str(repo))
    assert [n for n in found.notes if "uncommitted changes; they are not included" in n]
    assert [n for n in found.notes if "untracked" in n]
    after = (repo / ".git" / "index").stat()
    assert (after.st_mtime_ns, after.st_ino, after.st_size) == (before.st_mtime_ns, before.st_ino, before.st_size)


async def test_ignored_files_are_not_noted(forge: LocalForge, repo: Path) -> None:
    (repo / "x.log").write_text("x")
    (repo / ".git" / "info").mkdir(exist_ok=True)
    (repo / ".git" / "info" / "exclude").write_text("mine\n")
    (repo / "mine").write_text("x")
    assert (await forge.inspect(str(repo))).notes == ()


async def test_a_staged_change_is_noted(forge: LocalForge, repo: Path, run_git: Git) -> None:
    (repo / "app.py").write_text("changed\n")
    run_git(repo, "add", "app.py")
    assert any("uncommitted" in n for n in (await forge.inspect(str(repo))).notes)


async def test_a_touched_file_is_not_a_change(forge: LocalForge, repo: Path) -> None:
    os.utime(repo / "app.py", (1, 1))
    assert (await forge.inspect(str(repo))).notes == ()


async def test_a_bare_repository(forge: LocalForge, repo: Path, tmp_path: Path, run_git: Git) -> None:
    bare = tmp_path / "bare.git"
    run_git(tmp_path, "clone", "--quiet", "--bare", str(repo), str(bare))
    found = await forge.inspect(str(bare))
    assert (found.repo, found.default_branch, found.notes) == (str(bare), "main", ())
    assert (await forge.inspect(str(bare / "objects"))).repo == str(bare)


async def test_an_empty_repository(forge: LocalForge, tmp_path: Path, run_git: Git) -> None:
    run_git(tmp_path, "init", "--quiet", "empty")
    error = await refused(forge, tmp_path / "empty")
    assert error.code == "repository_empty"
    assert "has no commit yet" in error.message


async def test_head_on_a_branch_without_commit(forge: LocalForge, repo: Path, run_git: Git) -> None:
    run_git(repo, "symbolic-ref", "HEAD", "refs/heads/other")
    assert "no commit" in (await refused(forge, repo)).message
    assert (await forge.inspect(str(repo), "main")).default_branch == "other"


async def test_no_repository(forge: LocalForge, repo: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    assert (await refused(forge, plain)).code == "not_a_repository"
    assert "does not exist" in (await refused(forge, tmp_path / "missing")).message
    assert "is a file" in (await refused(forge, repo / "app.py")).message
    await refused(forge, "")
    await refused(forge, "a\0b")


async def test_a_detached_head(forge: LocalForge, repo: Path, run_git: Git) -> None:
    run_git(repo, "checkout", "--quiet", "--detach")
    found = await forge.inspect(str(repo))
    assert found.default_branch is None
    assert any("detached" in n for n in found.notes)


async def test_branches(forge: LocalForge, repo: Path, run_git: Git, save: Save) -> None:
    first = run_git(repo, "rev-parse", "HEAD")
    run_git(repo, "branch", "old")
    run_git(repo, "tag", "-a", "-m", "x", "v1")
    head = save(repo, "second")
    assert (await forge.inspect(str(repo), "old")).head_commit == first
    assert (await forge.inspect(str(repo), "v1")).head_commit == first
    assert (await forge.inspect(str(repo), first)).head_commit == first
    assert (await forge.inspect(str(repo))).head_commit == head
    for wrong in ("nope", "--help", "-x", "a..b", "", "@{-1}", "old^", "x" * 3000):
        assert (await refused(forge, repo, wrong)).code == "branch_not_found"


async def test_submodules_are_noted_and_left_out(forge: LocalForge, repo: Path, tmp_path: Path, run_git: Git, save: Save) -> None:
    other = tmp_path / "other"
    run_git(tmp_path, "clone", "--quiet", str(repo), str(other))
    run_git(repo, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(other), "vendor/lib")
    head = save(repo, "submodule")
    found = await forge.inspect(str(repo))
    assert found.notes == ("Submodules are left out: vendor/lib.",)
    assert "vendor/lib" not in await forge.list_files(str(repo), head)
    inside = await forge.inspect(str(repo / "vendor" / "lib"))
    assert inside.repo == str(repo / "vendor" / "lib")
    checkout = await forge.checkout(str(repo), head, b"", tmp_path / "ws", tmp_path / "git")
    assert (await forge.diff(checkout)).is_empty
    shutil.rmtree(checkout.folder / "vendor")
    assert (await forge.diff(checkout)).is_empty


async def test_a_linked_working_tree(forge: LocalForge, repo: Path, tmp_path: Path, run_git: Git) -> None:
    linked = tmp_path / "linked"
    run_git(repo, "worktree", "add", "--quiet", "-b", "side", str(linked))
    found = await forge.inspect(str(linked))
    assert (found.repo, found.default_branch, found.notes) == (str(linked), "side", ())
    assert "app.py" in await forge.list_files(found.repo, found.head_commit)


async def test_a_shallow_clone(forge: LocalForge, repo: Path, tmp_path: Path, run_git: Git, save: Save) -> None:
    (repo / "more.txt").write_text("more\n")
    save(repo)
    run_git(tmp_path, "clone", "--quiet", "--depth=1", f"file://{repo}", "shallow")
    found = await forge.inspect(str(tmp_path / "shallow"))
    assert "more.txt" in await forge.list_files(found.repo, found.head_commit)


async def test_sha256_objects(forge: LocalForge, tmp_path: Path, run_git: Git, save: Save) -> None:
    run_git(tmp_path, "init", "--quiet", "--object-format=sha256", "modern")
    (tmp_path / "modern" / "a.txt").write_text("a\n")
    head = save(tmp_path / "modern")
    assert len(head) == 64
    found = await forge.inspect(str(tmp_path / "modern"))
    assert found.head_commit == head
    assert await forge.read_file(found.repo, head, "a.txt") == b"a\n"


async def test_damaged_repositories(forge: LocalForge, repo: Path, tmp_path: Path, run_git: Git) -> None:
    head = run_git(repo, "rev-parse", "HEAD")
    tree = run_git(repo, "rev-parse", "HEAD^{tree}")
    blob = run_git(repo, "rev-parse", "HEAD:app.py")
    for oid in (blob, tree, head):
        loose = repo / ".git" / "objects" / oid[:2] / oid[2:]
        loose.chmod(0o600)
        loose.write_bytes(b"garbage")
        if oid == blob:
            with pytest.raises(RepositoryError, match="damaged"):
                await forge.checkout(str(repo), head, b"", tmp_path / "ws", tmp_path / "git")
        else:
            assert (await refused(forge, repo)).code == "repository_damaged"
    (repo / ".git" / "config").write_text("[core\n")
    assert (await refused(forge, repo)).code == "repository_damaged"


@pytest.mark.skipif(os.geteuid() != 0, reason="run as root: only root can give a folder to another user")
async def test_a_repository_of_another_user(forge: LocalForge, repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in (repo, repo / ".git"):
        os.chown(path, 4242, 4242)
    error = await refused(forge, repo)
    assert error.code == "repository_not_trusted"
    assert "safe.directory" in error.next_step
    (tmp_path / ".gitconfig").write_text(f'[safe]\n\tdirectory = "{repo}"\n[core]\n\tsshCommand = false\n')
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("GIT_CONFIG_GLOBAL", raising=False)
    assert (await forge.inspect(str(repo))).default_branch == "main"
