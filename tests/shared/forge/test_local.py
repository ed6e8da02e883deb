"""Checkout, diff, commit and push on real repositories: bytes stay what they are, the person's things are not touched."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from shared.errors import ConflictError, RepositoryError
from shared.forge.local import LocalForge
from shared.forge.port import Checkout, Commit

Git = Callable[..., str]
Save = Callable[..., str]


async def opened(forge: LocalForge, repo: Path, patch: bytes = b"") -> Checkout:
    found = await forge.inspect(str(repo))
    where = repo.parent / "work"
    return await forge.checkout(found.repo, found.head_commit, patch, where / "tree", where / "git")


def snapshot(folder: Path) -> dict[str, tuple[str, bytes]]:
    """Kind and bytes of everything below a folder, `.git` left out."""
    seen: dict[str, tuple[str, bytes]] = {}
    for path in sorted(folder.rglob("*")):
        name = str(path.relative_to(folder))
        if name.split("/")[0] == ".git":
            continue
        if path.is_symlink():
            seen[name] = ("link", os.readlink(os.fsencode(path)))
        elif path.is_file():
            seen[name] = ("executable" if path.stat().st_mode & 0o100 else "file", path.read_bytes())
    return seen


async def test_a_checkout_is_the_commit(forge: LocalForge, repo: Path, save: Save) -> None:
    (repo / "out").symlink_to("/etc/passwd")
    (repo / "line\nbreak").write_text("x")
    head = save(repo)
    checkout = await opened(forge, repo)
    assert snapshot(checkout.folder) == snapshot(repo)
    assert not (checkout.folder / ".git").exists()
    assert (await forge.diff(checkout)).is_empty
    assert await forge.read_file(str(repo), head, "windows.txt") == b"one\r\ntwo\r\n"
    assert await forge.read_file(str(repo), head, "größe ünï.txt") == b"hello\n"
    for none in ("out", "missing", "../x", "/etc/passwd", ".", "", "a\0b"):
        assert await forge.read_file(str(repo), head, none) is None


async def test_what_was_there_is_removed(forge: LocalForge, repo: Path, tmp_path: Path) -> None:
    checkout = await opened(forge, repo)
    locked = checkout.folder / "locked"
    locked.mkdir()
    (locked / "stale").write_text("x")
    (locked / "outside").symlink_to(repo)
    locked.chmod(0o500)
    again = await opened(forge, repo)
    assert not (again.folder / "locked").exists()
    assert (repo / "app.py").exists()


async def test_every_kind_of_change(forge: LocalForge, repo: Path) -> None:
    checkout = await opened(forge, repo)
    tree = checkout.folder
    (tree / "app.py").write_text("def load_config():\n    return 1\n")
    (tree / "windows.txt").unlink()
    (tree / "run.sh").chmod(0o644)
    (tree / "new tool").write_bytes(bytes(range(256)))
    (tree / "new tool").chmod(0o755)
    (tree / "escape").symlink_to("/etc/passwd")
    (tree / "noise.log").write_text("ignored")
    (tree / "__pycache__").mkdir()
    (tree / "__pycache__" / "app.pyc").write_bytes(b"x")
    os.mkfifo(tree / "pipe")
    (tree / "größe ünï.txt").unlink()
    (tree / "größe ünï.txt").mkdir()
    (tree / "größe ünï.txt" / "inner").write_text("was a file\n")
    diff = await forge.diff(checkout)
    assert diff.stats["paths"] == ["app.py", "escape", "größe ünï.txt", "größe ünï.txt/inner", "new tool", "run.sh", "windows.txt"]
    assert b"root:" not in diff.patch
    rebuilt = await forge.checkout(str(repo), diff.base_commit, diff.patch, repo.parent / "two", repo.parent / "two.git")
    for extra in ("noise.log", "__pycache__/app.pyc", "pipe"):
        (tree / extra).unlink()
    assert snapshot(rebuilt.folder) == snapshot(tree)
    assert (await forge.diff(rebuilt)).patch == diff.patch


async def test_a_checkout_in_the_folder_of_another_has_its_own_diff(forge: LocalForge, repo: Path) -> None:
    first = await opened(forge, repo)
    (first.folder / "app.py").write_text("changed = True\n")
    before = await forge.diff(first)
    again = await opened(forge, repo)
    assert (again, before.is_empty) == (first, False)
    assert (await forge.diff(again)).is_empty


async def test_a_folder_that_became_a_link_does_not_leak_what_it_points_to(
    forge: LocalForge, repo: Path, tmp_path: Path, save: Save
) -> None:
    (repo / "sub").mkdir()
    (repo / "sub" / "passwd").write_text("mine\n")
    save(repo)
    checkout = await opened(forge, repo)
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    (secrets / "passwd").write_text("SECRET\n")
    (checkout.folder / "sub" / "passwd").unlink()
    (checkout.folder / "sub").rmdir()
    (checkout.folder / "sub").symlink_to(secrets)
    diff = await forge.diff(checkout)
    assert b"SECRET" not in diff.patch
    assert diff.stats["paths"] == ["sub", "sub/passwd"]


async def test_a_nested_repository_never_becomes_a_submodule(forge: LocalForge, repo: Path, run_git: Git, save: Save) -> None:
    checkout = await opened(forge, repo)
    for name in ("nested", "unborn"):
        (checkout.folder / name).mkdir()
        run_git(checkout.folder / name, "init", "--quiet")
    (checkout.folder / "nested" / "x").write_text("x")
    save(checkout.folder / "nested")
    run_git(checkout.folder, "init", "--quiet")
    (checkout.folder / "kept.txt").write_text("kept\n")
    (checkout.folder / "app.py").unlink()
    (checkout.folder / "app.py").mkdir()
    run_git(checkout.folder / "app.py", "init", "--quiet")
    save(checkout.folder / "app.py")
    diff = await forge.diff(checkout)
    assert diff.stats["paths"] == ["app.py", "kept.txt"]
    assert b"160000" not in diff.patch


def commit_of(diff_base: str, patch: bytes, branch: str = "persevere/k3v9-change") -> Commit:
    return Commit(diff_base, patch, "Change\n\nwhy\n", branch, 1_700_000_000)


async def changed(forge: LocalForge, repo: Path) -> Commit:
    checkout = await opened(forge, repo)
    (checkout.folder / "app.py").write_text("changed = True\n")
    (checkout.folder / "added.bin").write_bytes(b"\0\1\2")
    diff = await forge.diff(checkout)
    return commit_of(diff.base_commit, diff.patch)


async def test_one_commit_one_branch_and_nothing_of_the_person_is_touched(
    forge: LocalForge, repo: Path, tmp_path: Path, run_git: Git
) -> None:
    (repo / "app.py").write_text("staged\n")
    run_git(repo, "add", "app.py")
    (repo / "app.py").write_text("dirty\n")
    (repo / "untracked").write_text("mine\n")
    index = repo / ".git" / "index"
    before = (
        snapshot(repo),
        index.read_bytes(),
        index.stat().st_mtime_ns,
        (repo / ".git" / "HEAD").read_bytes(),
        run_git(repo, "rev-parse", "main"),
    )
    commit = await changed(forge, repo)
    made = await forge.commit_id(str(repo), commit, tmp_path / "one")
    assert made == await forge.commit_id(str(repo), commit, tmp_path / "two")
    assert await forge.branch_head(str(repo), commit.branch) is None
    await forge.push(str(repo), made, commit.branch, tmp_path / "one")
    await forge.push(str(repo), made, commit.branch, tmp_path / "two")
    assert await forge.branch_head(str(repo), commit.branch) == made
    after = (
        snapshot(repo),
        index.read_bytes(),
        index.stat().st_mtime_ns,
        (repo / ".git" / "HEAD").read_bytes(),
        run_git(repo, "rev-parse", "main"),
    )
    assert after == before
    assert run_git(repo, "show", f"{made}:app.py") == "changed = True"
    assert run_git(repo, "log", "--format=%an %ae %at %P", "-1", made) == f"Persevere persevere@localhost 1700000000 {commit.base_commit}"
    run_git(repo, "fsck", "--strict", "--full")
    assert run_git(repo, "branch", "--list", "persevere/*").splitlines() == [commit.branch]


async def test_a_branch_that_points_elsewhere_is_a_conflict(forge: LocalForge, repo: Path, tmp_path: Path, run_git: Git) -> None:
    commit = await changed(forge, repo)
    made = await forge.commit_id(str(repo), commit, tmp_path / "one")
    run_git(repo, "branch", commit.branch)
    with pytest.raises(ConflictError):
        await forge.push(str(repo), made, commit.branch, tmp_path / "one")
    assert await forge.branch_head(str(repo), commit.branch) == commit.base_commit
    run_git(repo, "branch", "-m", commit.branch, "persevere-old")
    run_git(repo, "branch", "persevere")
    with pytest.raises(ConflictError, match="cannot be created beside"):
        await forge.push(str(repo), made, commit.branch, tmp_path / "one")
    with pytest.raises(RepositoryError):
        await forge.push(str(repo), made, "../../x", tmp_path / "one")


@pytest.mark.parametrize("shape", ["bare", "sha256", "worktree", "shallow", "alternates"])
async def test_pushing_into_other_shapes(forge: LocalForge, repo: Path, tmp_path: Path, run_git: Git, save: Save, shape: str) -> None:
    save(repo, "second")
    target = tmp_path / shape
    clone = ("clone", "--quiet")
    if shape == "sha256":
        run_git(tmp_path, "init", "--quiet", "--object-format=sha256", shape)
        (target / "app.py").write_text("x\n")
        save(target)
    elif shape == "worktree":
        run_git(repo, "worktree", "add", "--quiet", "-b", "side", str(target))
    else:
        option = {"bare": "--bare", "shallow": "--depth=1", "alternates": "--shared"}[shape]
        run_git(tmp_path, *clone, option, f"file://{repo}" if shape == "shallow" else str(repo), str(target))
    commit = await changed(forge, target)
    made = await forge.commit_id(str(target), commit, tmp_path / "g")
    await forge.push(str(target), made, commit.branch, tmp_path / "g")
    assert run_git(target, "show", f"{commit.branch}:app.py") == "changed = True"
    run_git(target, "fsck", "--full")


async def test_a_patch_that_does_not_apply(forge: LocalForge, repo: Path, tmp_path: Path, run_git: Git) -> None:
    head = run_git(repo, "rev-parse", "HEAD")
    for patch in (
        b"nonsense",
        b"--- a/app.py\n+++ b/app.py\n@@ -1 +1 @@\n-x\n+y\n",
        b"--- /dev/null\n+++ b/.git/config\n@@ -0,0 +1 @@\n+y\n",
    ):
        with pytest.raises(RepositoryError) as caught:
            await forge.checkout(str(repo), head, patch, tmp_path / "ws", tmp_path / "g")
        assert caught.value.code == "patch_does_not_apply"
    with pytest.raises(RepositoryError, match="full commit id"):
        await forge.checkout(str(repo), "--help", b"", tmp_path / "ws", tmp_path / "g")


def marker_repository(repo: Path, marker: Path, git: Git) -> None:
    """Everything a repository can set up to run a program of its own."""
    trap = repo.parent / "trap.sh"
    trap.write_text(f"#!/bin/sh\necho \"$0 $*\" >> '{marker}'\ncat\n")
    trap.chmod(0o755)
    hooks = repo / ".git" / "hooks"
    hooks.mkdir(exist_ok=True)
    names = "pre-commit post-commit post-checkout reference-transaction post-index-change pre-push update post-update pre-receive"
    for hook in names.split():
        (hooks / hook).write_text(trap.read_text())
        (hooks / hook).chmod(0o755)
    include = repo.parent / "included"
    include.write_text(f"[core]\n\tfsmonitor = {trap}\n\tpager = {trap}\n")
    for name, value in {
        "core.fsmonitor": trap,
        "core.sshCommand": trap,
        "core.alternateRefsCommand": trap,
        "core.pager": trap,
        "core.editor": trap,
        "core.hooksPath": hooks,
        "core.worktree": repo.parent,
        "core.autocrlf": "true",
        "filter.trap.clean": trap,
        "filter.trap.smudge": trap,
        "filter.trap.required": "true",
        "filter.trap2.process": trap,
        "diff.trap.textconv": trap,
        "diff.trap.command": trap,
        "diff.external": trap,
        "merge.trap.driver": trap,
        "gpg.program": trap,
        "commit.gpgSign": "true",
        "credential.helper": trap,
        "alias.rev-parse": f"!{trap}",
        "includeIf.gitdir:/.path": include,
        "extensions.partialClone": "evil",
        "remote.evil.url": f"ext::{trap}",
        "remote.evil.promisor": "true",
        "gc.auto": "1",
        "uploadpack.packObjectsHook": trap,
    }.items():
        git(repo, "config", name, str(value))


async def test_a_hostile_repository_runs_nothing(forge: LocalForge, repo: Path, tmp_path: Path, run_git: Git, save: Save) -> None:
    attributes = "*.py filter=trap diff=trap merge=trap ident\n*.txt filter=trap2 text eol=crlf working-tree-encoding=UTF-16\n"
    (repo / ".gitattributes").write_text(attributes)
    (repo / "ident.py").write_bytes(b"# $Id$\r\n")
    run_git(repo, "-c", "core.autocrlf=false", "add", ".gitattributes")
    head = save_plain(repo, run_git)
    marker = tmp_path / "marker"
    marker_repository(repo, marker, run_git)
    marker.unlink(missing_ok=True)
    (repo / "app.py").write_text("dirty\n")
    found = await forge.inspect(str(repo))
    assert found.repo == str(repo)
    checkout = await opened(forge, repo)
    for name in ("ident.py", "windows.txt", "app.py"):
        assert (checkout.folder / name).read_bytes() == await forge.read_file(str(repo), head, name)
    assert (await forge.diff(checkout)).is_empty
    commit = await changed(forge, repo)
    made = await forge.commit_id(str(repo), commit, tmp_path / "g")
    await forge.push(str(repo), made, commit.branch, tmp_path / "g")
    assert await forge.branch_head(str(repo), commit.branch) == made
    missing = run_git(repo, "rev-parse", "HEAD:windows.txt")
    (repo / ".git" / "objects" / missing[:2] / missing[2:]).unlink()
    with pytest.raises(RepositoryError):
        await opened(forge, repo)
    assert not marker.exists(), marker.read_text()


def save_plain(repo: Path, git: Git) -> str:
    """Commit with the attributes taken away for the moment, so that the bytes go in as they are."""
    (repo / ".git" / "info").mkdir(exist_ok=True)
    (repo / ".git" / "info" / "attributes").write_text("* -text -filter -ident -working-tree-encoding\n")
    git(repo, "add", "--all")
    git(repo, "commit", "--quiet", "-m", "attributes")
    (repo / ".git" / "info" / "attributes").unlink()
    return git(repo, "rev-parse", "HEAD")


NAMES = st.text(st.characters(exclude_characters="/\0", codec="utf-8"), min_size=1, max_size=12).filter(
    lambda n: n not in (".", "..") and not n.lower().startswith((".git", "git~")) and "\u200c" not in n and not n.endswith((".pyc", ".pyo"))
)
CONTENTS = st.one_of(st.binary(max_size=200), st.text("ab\r\n\t $Id", max_size=60).map(str.encode))
FILES = st.dictionaries(NAMES, st.tuples(st.sampled_from(["file", "executable", "link"]), CONTENTS), max_size=5)


def put(folder: Path, files: dict[str, tuple[str, bytes]]) -> None:
    for name, (kind, content) in files.items():
        path = folder / name
        if kind == "link":
            os.symlink(content.replace(b"\0", b"") or b"x", os.fsencode(path))
        else:
            path.write_bytes(content)
            path.chmod(0o755 if kind == "executable" else 0o644)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(before=FILES, after=FILES)
async def test_any_bytes_names_and_modes_come_through(before: dict[str, tuple[str, bytes]], after: dict[str, tuple[str, bytes]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        top = Path(name)
        repo = top / "repo"
        subprocess.run(["git", "init", "--quiet", str(repo)], check=True)
        put(repo, before)
        identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "core.autocrlf=false"]
        subprocess.run(["git", "add", "--all", "--force"], cwd=repo, check=True)
        subprocess.run(["git", *identity, "commit", "--quiet", "--allow-empty", "-m", "x"], cwd=repo, check=True)
        forge = LocalForge(top / "data")
        checkout = await opened(forge, repo)
        assert snapshot(checkout.folder) == snapshot(repo)
        for path in checkout.folder.iterdir():
            path.unlink()
        put(checkout.folder, after)
        diff = await forge.diff(checkout)
        rebuilt = await forge.checkout(str(repo), diff.base_commit, diff.patch, top / "again", top / "again.git")
        assert snapshot(rebuilt.folder) == snapshot(checkout.folder)
        commit = commit_of(diff.base_commit, diff.patch)
        made = await forge.commit_id(str(repo), commit, top / "commit.git")
        await forge.push(str(repo), made, commit.branch, top / "commit.git")
        assert await forge.list_files(str(repo), made) == sorted(after)


@pytest.mark.parametrize("files", [2_000, pytest.param(50_000, marks=pytest.mark.slow)])
async def test_many_files(forge: LocalForge, tmp_path: Path, run_git: Git, files: int) -> None:
    repo = tmp_path / "big"
    run_git(tmp_path, "init", "--quiet", "--initial-branch=main", "big")
    parts = [b"commit refs/heads/main\ncommitter x <x@x> 1 +0000\ndata 1\nx\n"]
    for number in range(files):
        content = b"x = %d\n" % number
        parts.append(b"M 100644 inline d%d/f%d.py\ndata %d\n%s\n" % (number // 200, number, len(content), content))
    run_git(repo, "fast-import", "--quiet", stdin=b"".join(parts))
    run_git(repo, "reset", "--quiet", "--hard")
    checkout = await opened(forge, repo)
    (checkout.folder / "d0" / "f0.py").write_text("y = 1\n")
    diff = await forge.diff(checkout)
    assert diff.stats["paths"] == ["d0/f0.py"]
    made = await forge.commit_id(str(repo), commit_of(diff.base_commit, diff.patch), tmp_path / "g")
    await forge.push(str(repo), made, "persevere/x", tmp_path / "g")
