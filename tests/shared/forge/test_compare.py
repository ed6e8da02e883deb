"""What a branch or a commit changed."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from shared.errors import RepositoryError
from shared.forge.local import LocalForge

Git = Callable[..., str]
Save = Callable[..., str]


async def test_a_branch_against_the_commit_it_left(forge: LocalForge, repo: Path, run_git: Git, save: Save) -> None:
    first = run_git(repo, "rev-parse", "HEAD")
    run_git(repo, "switch", "--quiet", "--create", "feature/x")
    (repo / "app.py").write_text("def load_conf():\n    return 2\n")
    (repo / "logo.png").write_bytes(bytes(range(256)) * 400)
    head = save(repo, "two")
    run_git(repo, "switch", "--quiet", "main")
    (repo / "windows.txt").unlink()
    save(repo, "elsewhere")
    found = await forge.compare(str(repo), "feature/x", "main")
    assert (found.head_commit, found.diff.base_commit) == (head, first)
    assert found.diff.stats == {"files": 2, "insertions": 1, "deletions": 1, "paths": ["app.py", "logo.png"]}
    assert b"+    return 2" in found.diff.patch
    assert b"Binary files /dev/null and b/logo.png differ" in found.diff.patch
    assert len(found.diff.patch) < 1000


async def test_a_commit_against_its_parent_and_the_first_one_against_nothing(forge: LocalForge, repo: Path, save: Save) -> None:
    (repo / "app.py").write_text("x = 1\n")
    head = save(repo)
    last = await forge.compare(str(repo), "main")
    assert (last.head_commit, last.diff.stats["paths"]) == (head, ["app.py"])
    assert (await forge.compare(str(repo), head[:9])).diff.patch == last.diff.patch
    first = await forge.compare(str(repo), last.diff.base_commit)
    assert "größe ünï.txt" in first.diff.stats["paths"]
    assert await forge.read_file(str(repo), first.diff.base_commit, "app.py") is None


async def test_branches_without_a_common_commit(forge: LocalForge, repo: Path, run_git: Git, save: Save) -> None:
    main = run_git(repo, "rev-parse", "HEAD")
    run_git(repo, "switch", "--quiet", "--orphan", "other")
    (repo / "new.py").write_text("y = 1\n")
    save(repo)
    found = await forge.compare(str(repo), "other", "main")
    assert found.diff.base_commit == main
    assert "new.py" in found.diff.stats["paths"]


async def test_what_is_not_there_is_named(forge: LocalForge, repo: Path) -> None:
    for head, base in (("nothing", None), ("main", "nothing"), ("abcdef1", None), ("--all", None)):
        with pytest.raises(RepositoryError) as caught:
            await forge.compare(str(repo), head, base)
        assert caught.value.code == "branch_not_found"
